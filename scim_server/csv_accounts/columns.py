"""Which columns does a file of accounts have, and which attribute does each stand for?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from scim_server.csv_accounts.cells import day_of, first_second, last_second, read_code, read_day
from scim_server.protocol.text import folded
from scim_server.protocol.wording import Text, say
from scim_server.resources.accounts import ACCOUNT
from scim_server.resources.users import ENTERPRISE

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column whose attribute is kept elsewhere, or not at all; ``needed_under`` is a policy that requires it."""

    ja: str
    en: str
    required: bool = False
    needed_under: str | None = None

    def name(self, language: str) -> str:
        """Return the header of the column."""
        return self.en if language == "en" else self.ja

    def is_required(self, policies: frozenset[str]) -> bool:
        return self.required or self.needed_under in policies

    def show(self, document: Document, zone: ZoneInfo) -> str:
        """Return the cell of an account's document."""
        return ""

    def canonical(self, cell: str) -> str:
        """Return what a cell that is not empty says, as `show` would write it. Raises Unfit."""
        return cell

    def put(self, document: Document, text: str, zone: ZoneInfo) -> None:
        """Write a canonical cell into a document, or clear it with "". Raises Unfit."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Attribute(Column):
    """A column of one simple attribute, in the extension with the URN if there is one."""

    urn: str = ""
    attribute: str

    def show(self, document: Document, zone: ZoneInfo) -> str:
        return self.shown(self.value(document), zone)

    def shown(self, value: Any, zone: ZoneInfo) -> str:
        return value or ""

    def value(self, document: Document) -> Any:
        return (document.get(self.urn, {}) if self.urn else document).get(self.attribute)

    def put(self, document: Document, text: str, zone: ZoneInfo) -> None:
        container = document.setdefault(self.urn, {}) if self.urn else document
        if text:
            container[self.attribute] = self.meant(text, zone)
        else:
            container.pop(self.attribute, None)

    def meant(self, text: str, zone: ZoneInfo) -> Any:
        """Return the value that a canonical cell stands for. Raises Unfit."""
        return text


class _Address(_Attribute):
    """The address; it is never changed."""

    def put(self, document: Document, text: str, zone: ZoneInfo) -> None:
        pass


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Code(_Attribute):
    """A column of 0 and 1, each of which stands for a value; whatever else the attribute has counts as 0."""

    zero: Any
    one: Any
    advice: Text

    def shown(self, value: Any, zone: ZoneInfo) -> str:
        is_one = folded(value) == folded(self.one) if isinstance(value, str) else value == self.one
        return "1" if is_one else "0"

    def canonical(self, cell: str) -> str:
        return read_code(cell, self.advice)

    def meant(self, text: str, zone: ZoneInfo) -> Any:
        return self.one if text == "1" else self.zero


class _Flag(_Code):
    """What is to be done with the row; no attribute."""

    def shown(self, value: Any, zone: ZoneInfo) -> str:
        return "0"

    def put(self, document: Document, text: str, zone: ZoneInfo) -> None:
        pass


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Day(_Attribute):
    """A column of days, each of which stands for an instant in it."""

    instant: Callable[[str, ZoneInfo], str]

    def shown(self, value: Any, zone: ZoneInfo) -> str:
        return day_of(value, zone) if value else ""

    def canonical(self, cell: str) -> str:
        return read_day(cell)

    def meant(self, text: str, zone: ZoneInfo) -> Any:
        return self.instant(text, zone)


class _Name(Column):
    """The name as a whole; its parts are left as they are."""

    def show(self, document: Document, zone: ZoneInfo) -> str:
        return document.get("displayName") or document.get("name", {}).get("formatted") or ""

    def put(self, document: Document, text: str, zone: ZoneInfo) -> None:
        document["displayName"] = text
        document.setdefault("name", {})["formatted"] = text


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Phone(Column):
    """The first telephone number of a type; with an empty cell all of the type go."""

    type: str

    def show(self, document: Document, zone: ZoneInfo) -> str:
        return next((each["value"] for each in self._numbers(document) if "value" in each), "")

    def _numbers(self, document: Document) -> list[Document]:
        return [each for each in document.get("phoneNumbers", ()) if each.get("type") == self.type]

    def put(self, document: Document, text: str, zone: ZoneInfo) -> None:
        of_type = self._numbers(document)
        numbers: list[Document] = document.setdefault("phoneNumbers", [])
        if not text:
            numbers[:] = [each for each in numbers if each not in of_type]
        elif of_type:
            next((each for each in of_type if "value" in each), of_type[0])["value"] = text
        else:
            numbers.append({"value": text, "type": self.type})
        if not numbers:
            del document["phoneNumbers"]


ADDRESS = _Address("メールアドレス", "Email address", required=True, attribute="userName")
GROUPS = Column("所属グループ", "Groups", required=True)
MOBILE = _Phone("携帯電話番号", "Mobile phone", needed_under="sms_authentication", type="mobile")
VALID_UNTIL = _Day("有効終了年月日", "Valid until", urn=ACCOUNT, attribute="validUntil", instant=last_second)
DELETION = _Flag(
    "論理削除フラグ",
    "Delete flag",
    required=True,
    attribute="",
    zero=False,
    one=True,
    advice=say("Write 0 to register or edit the account, or 1 to delete it."),
)
COLUMNS: tuple[Column, ...] = (
    ADDRESS,
    _Name("名前", "Name", required=True),
    _Code(
        "ユーザータイプ",
        "User type",
        required=True,
        attribute="userType",
        zero="User",
        one="Administrator",
        advice=say("Write 0 for a user, or 1 for an administrator."),
    ),
    _Attribute("組織名", "Organization", urn=ENTERPRISE, attribute="organization"),
    _Attribute("部署名", "Department", urn=ENTERPRISE, attribute="department"),
    GROUPS,
    MOBILE,
    _Phone("電話番号", "Phone", type="work"),
    _Day("有効開始年月日", "Valid from", required=True, urn=ACCOUNT, attribute="validFrom", instant=first_second),
    VALID_UNTIL,
    _Code(
        "ステータス",
        "Status",
        required=True,
        attribute="active",
        zero=True,
        one=False,
        advice=say("Write 0 for enabled, or 1 for disabled."),
    ),
    DELETION,
)
"""All columns in the order of an export."""
