# -*- test-case-name: tests.unit.test_testing_twitter_tweets -*-
"""How Twitter's v1.1 wrote things down: tweets, people, places, entities, times, and JSON itself.

Shapes: recorded streams of 2015 to 2021;
https://developer.x.com/en/docs/twitter-api/v1/data-dictionary/object-model/tweet
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

SHORT = 140  # code points that fit into `text`
SOURCE = '<a href="https://example.com/app" rel="nofollow">Example App</a>'
PHOTOS = "photos.example"  # host of the links that stand for a picture
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def encode(document: Mapping[str, Any]) -> bytes:
    """JSON in ASCII: other characters as `\\uXXXX`, beyond the basic plane as two, and `/` as `\\/`."""
    return json.dumps(document, separators=(",", ":")).replace("/", "\\/").encode("ascii")


def time_of(time_ms: int) -> str:
    """The time as `Sat Mar 10 14:03:15 +0000 2018`, whatever the locale."""
    when = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{_DAYS[when.weekday()]} {_MONTHS[when.month - 1]} {when:%d %H:%M:%S} +0000 {when.year}"


def person(user: Mapping[str, Any]) -> Document:
    """A user object, of one as X v2 has it."""
    metrics, picture = user["public_metrics"], user["profile_image_url"]
    made_ms = int(datetime.fromisoformat(user["created_at"]).timestamp() * 1000)
    return {
        "id": int(user["id"]),
        "id_str": user["id"],
        "name": user["name"],
        "screen_name": user["username"],
        "location": None,
        "url": None,
        "description": user["description"],
        "translator_type": "none",
        "protected": user["protected"],
        "verified": user["verified"],
        "followers_count": metrics["followers_count"],
        "friends_count": metrics["following_count"],
        "listed_count": metrics["listed_count"],
        "favourites_count": metrics["tweet_count"] // 3,
        "statuses_count": metrics["tweet_count"],
        "created_at": time_of(made_ms),
        "utc_offset": None,
        "time_zone": None,
        "geo_enabled": True,
        "lang": None,
        "contributors_enabled": False,
        "is_translator": False,
        "profile_background_color": "F5F8FA",
        "profile_link_color": "1DA1F2",
        "profile_text_color": "333333",
        "profile_use_background_image": True,
        "profile_image_url": picture.replace("https:", "http:"),
        "profile_image_url_https": picture,
        "default_profile": True,
        "default_profile_image": False,
        "following": None,
        "follow_request_sent": None,
        "notifications": None,
    }


def place(found: Mapping[str, Any]) -> Document:
    """A place object, of one as X v2 has it."""
    west, south, east, north = found["geo"]["bbox"]
    ring = [[west, south], [west, north], [east, north], [east, south]]
    return {
        "id": found["id"],
        "url": f"https://api.twitter.com/1.1/geo/id/{found['id']}.json",
        "place_type": found["place_type"],
        "name": found["name"],
        "full_name": found["full_name"],
        "country_code": found["country_code"],
        "country": found["country"],
        "bounding_box": {"type": "Polygon", "coordinates": [ring]},
        "attributes": {},
    }


def entities(found: Mapping[str, Any], names: Mapping[str, str], id_: str) -> Document:
    """Entities, of those as X v2 has them.

    Args:
        names: people's names by their ids.
        id_: of the tweet, for the links of its pictures.
    """

    def at(entity: Mapping[str, Any]) -> Document:
        return {"indices": [entity["start"], entity["end"]]}

    links = found.get("urls", [])
    made: Document = {
        "hashtags": [{"text": tag["tag"], **at(tag)} for tag in found.get("hashtags", [])],
        "urls": [
            {
                "url": link["url"],
                "expanded_url": link["expanded_url"],
                "display_url": link["display_url"],
                **at(link),
            }
            for link in links
            if not link["display_url"].startswith(PHOTOS)
        ],
        "user_mentions": [
            {
                "screen_name": called["username"],
                "name": names.get(called["id"], called["username"]),
                "id": int(called["id"]),
                "id_str": called["id"],
                **at(called),
            }
            for called in found.get("mentions", [])
        ],
        "symbols": [{"text": symbol["tag"], **at(symbol)} for symbol in found.get("cashtags", [])],
    }
    pictures = [_picture(link, id_) for link in links if link["display_url"].startswith(PHOTOS)]
    if pictures:
        made["media"] = pictures
    return made


def _picture(link: Mapping[str, Any], id_: str) -> Document:
    key = link["display_url"].rpartition("_")[2]
    size = {"w": 1200, "h": 800, "resize": "fit"}
    return {
        "id": int(key),
        "id_str": key,
        "indices": [link["start"], link["end"]],
        "media_url": f"http://images.example/3_{key}.jpg",
        "media_url_https": f"https://images.example/3_{key}.jpg",
        "url": link["url"],
        "display_url": f"pic.twitter.com/{link['url'].rpartition('/')[2]}",
        "expanded_url": f"https://twitter.com/i/status/{id_}/photo/1",
        "type": "photo",
        "sizes": {"large": size, "medium": size, "small": size, "thumb": {"w": 150, "h": 150, "resize": "crop"}},
    }


def within(found: Mapping[str, Sequence[Mapping[str, Any]]], end: int, shift: int = 0) -> Document:
    """The entities that end within so many code points, moved by `shift`."""
    return {
        kind: [
            {**entity, "indices": [index + shift for index in entity["indices"]]}
            for entity in rows
            if entity["indices"][1] <= end
        ]
        for kind, rows in found.items()
        if kind != "media" or any(entity["indices"][1] <= end for entity in rows)
    }


def shorten(tweet: Document, link: str) -> None:
    """Make a tweet whose text is too long what clients of old can read: cut, with the whole in `extended_tweet`."""
    text, found, span = tweet["text"], tweet["entities"], tweet["display_text_range"]
    if len(text) <= SHORT:
        if span == [0, len(text)]:
            del tweet["display_text_range"]
        return
    whole: Document = {"full_text": text, "display_text_range": span, "entities": found}
    if "media" in found:
        whole["extended_entities"] = {"media": found["media"]}
    kept = SHORT - len(link) - 2  # for the ellipsis and a blank
    address = f"twitter.com/i/web/status/{tweet['id_str']}"
    tweet["text"] = f"{text[:kept]}… {link}"
    cut = within({kind: rows for kind, rows in found.items() if kind != "media"}, kept)
    cut["urls"].append(
        {
            "url": link,
            "expanded_url": f"https://{address}",
            "display_url": f"{address[:26]}…",
            "indices": [kept + 2, SHORT],
        }
    )
    tweet.pop("extended_entities", None)
    tweet.update(truncated=True, entities=cut, extended_tweet=whole)
    tweet["display_text_range"] = [min(span[0], SHORT), SHORT]
