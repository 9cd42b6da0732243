"""URLs that a document tells: of websites and images (OCPI 2.2.1 §8.4.15, §16.4)."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from mapsvc.importers.item import DROPPED, KEPT, Item, shown
from mapsvc.importers.report import Reason

URL_LIMIT = 1024  # characters; OCPI's is 255, real ones are longer
IMAGES_LIMIT = 16  # a driver looks at a few


def read_images(item: Item) -> tuple[str, ...]:
    """The URLs of an item's images."""
    urls = (read_url(image, "url") for image in item.children("images"))
    return tuple(url for url in urls if url)


def read_url(item: Item, name: str) -> str | None:
    """An http(s) URL; blanks and letters that may not stand in one are percent-encoded, which is told."""
    raw = item.get(name)
    if raw is None or raw == "":
        return None
    url = quote(raw.strip(), safe="%/:=&?~#+!$,;'@()*[]") if isinstance(raw, str) and raw.isprintable() else ""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and len(url) <= URL_LIMIT
    except ValueError:  # a bracket where no IPv6 address is
        usable = False
    if not usable or url != raw:
        item.fault(name, Reason.BAD_URL, KEPT if usable else DROPPED, "an http or https URL", shown(raw))
    return url if usable else None
