"""The unmodified ibind: it knows no key, so that of the client stands in the URL as its user."""

import logging

from ibind import IbkrClient
from ibind.support.errors import ExternalBrokerError

from trip import BASE, KEY, REFUSED, STRANGER, raised, same, told

logging.disable(logging.CRITICAL)


def client(key):
    url = BASE.replace("://", f"://{key}:x@") + "/ibkr/v1/api/"
    return IbkrClient(url=url, use_oauth=False, cacert=False, max_retries=0)


ibkr = client(KEY)
same("a session", ibkr.tickle().data["session"], "emulated-session")
same("signed in", ibkr.authentication_status().data["authenticated"], True)
same("accounts", ibkr.portfolio_accounts().data[0]["accountId"], "U1234567")
same("a contract", ibkr.search_contract_by_symbol("AAPL").data[0]["conid"], "265598")
history = ibkr.marketdata_history_by_conid("265598", bar="1d", period="1d")
same("history", history.data["data"][0]["c"], 187.15)

for what, key, word in [
    ("a wrong key", STRANGER, "unauthorized"),
    ("a refused key", REFUSED, "not authenticated"),
]:
    error = raised(what, ExternalBrokerError, lambda: client(key).portfolio_accounts())
    same(what, (error.status_code, word in str(error)), (401, True))

told("ibind", "session, accounts, contract, history")
