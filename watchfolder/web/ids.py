"""What an address of the page holds in place of a name: known to nobody who has not seen the page."""

import hmac
import secrets


class Ids:
    """Ids and the token of the forms: new with every start of the page."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self.token = self.of("token")

    def of(self, *facts: str) -> str:
        """Return the id of a thing, always the same one."""
        text = "\0".join(facts).encode("utf-8", "surrogateescape")
        return hmac.digest(self._secret, text, "sha256").hex()[:32]

    def is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode("utf-8", "surrogateescape"), self.token.encode())
