"""Signatures of the robots against published and independent values, and what their answers mean."""

import base64
import hashlib
import hmac
import subprocess

import pytest

from contracts.reasons import Receipt
from notify.senders import dingtalk, feishu, wecom


def openssl_hmac(key: str, message: str) -> str:
    """HMAC-SHA256 by another program."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.encode().hex()}", "-binary"]
    made = subprocess.run(command, input=message.encode(), capture_output=True, check=True, timeout=10)
    return base64.b64encode(made.stdout).decode()


def test_dingtalks_signature_is_keyed_by_the_secret(require_program):
    require_program("openssl")
    timestamp, secret = "1577262236757", "this is secret"
    assert dingtalk.signature(timestamp, secret) == openssl_hmac(secret, f"{timestamp}\n{secret}")


def test_feishus_signature_is_keyed_by_timestamp_and_secret_over_nothing(require_program):
    require_program("openssl")
    timestamp, secret = "1599360473", "demo"
    assert feishu.signature(timestamp, secret) == openssl_hmac(f"{timestamp}\n{secret}", "")
    key = f"{timestamp}\n{secret}".encode()
    assert feishu.signature(timestamp, secret) == base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        ("sign not match, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]", "secret_file"),
        ("description:机器人发送签名不匹配;solution:请确认签名和生成签名的时间戳必须都放在调用的网址中", "secret_file"),
        ("keywords not in content, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]", "look at keyword"),
        ("description:关键词不匹配;solution:请联系群管理员查看此机器人的关键词", "look at keyword"),
        ("invalid timestamp, more: [https://ding-doc.dingtalk.com/doc#/serverapi2/qf2nxq]", "clock"),
        ("ip 1.2.3.4 not in whitelist", "IP list"),
    ],
)
def test_dingtalks_one_code_for_security_names_the_setting_by_its_words(words, setting):
    found = dingtalk.meaning(310000, words.lower())
    assert found.receipt == Receipt.REFUSED
    assert setting in found.said


def test_limits_and_busy_systems_are_tried_again_and_a_wrong_robot_is_not():
    again = [dingtalk.CODES[130101], dingtalk.CODES[-1], wecom.CODES[45009], wecom.CODES[-1], feishu.CODES[11232]]
    assert {one.receipt for one in again} == {Receipt.FAILED}
    assert all(one.wait_s >= 30 for one in again)
    never = [dingtalk.CODES[300001], wecom.CODES[93000], feishu.CODES[19001], feishu.CODES[19021], feishu.CODES[19024]]
    assert {one.receipt for one in never} == {Receipt.REFUSED}
    assert all("look at" in one.said for one in never)
