"""Dead letters are bounded, and what the bound leaves out is counted."""

import json

from store.dead_letters import DeadLetters, left_out, overflow_file


def lines(path):
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


def test_beyond_the_bound_lines_are_counted_and_the_last_of_them_is_shown(tmp_path):
    path = tmp_path / "dead.ndjson"
    letters = DeadLetters(path, bytes_max=50)
    assert letters.add([{"n": n} for n in range(4)]) == 0
    assert letters.add([{"n": n} for n in range(4, 9)]) == 4
    assert lines(path) == [0, 1, 2, 3, 4]
    assert (left_out(path), path.stat().st_size) == (4, 45)
    assert letters.add([{"n": 9}]) == 1
    assert json.loads(overflow_file(path).read_text()) == {"lines": 5, "last": {"n": 9}}


def test_there_is_room_again_once_the_file_is_moved_away(tmp_path):
    path = tmp_path / "dead.ndjson"
    letters = DeadLetters(path, bytes_max=10)
    assert letters.add([{"n": 1}, {"n": 2}]) == 1
    path.unlink()
    assert letters.add([{"n": 3}]) == 0
    assert (lines(path), left_out(path)) == ([3], 1)


def test_half_a_line_left_by_a_kill_is_taken_back(tmp_path):
    path = tmp_path / "dead.ndjson"
    path.write_bytes(b'{"n": 1}\n{"n": ' + b"2" * 100_000)
    DeadLetters(path).add([{"n": 3}])
    assert lines(path) == [1, 3]
    path.write_bytes(b'{"n": ')
    DeadLetters(path).add([{"n": 4}])
    assert lines(path) == [4]


def test_nothing_to_put_aside_makes_no_file(tmp_path):
    assert DeadLetters(tmp_path / "dead.ndjson").add([]) == 0
    assert list(tmp_path.iterdir()) == []
