"""Cases (督办): what an exceedance asks of people, until one of them closes it."""
