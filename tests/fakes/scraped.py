"""What `/metrics` says, read by the reference implementation of the format; knows no single metric."""

from prometheus_client.parser import text_string_to_metric_families

from gateway.fetch import Fetch

Scraped = dict[tuple[str, ...], float]


def samples(text: str) -> Scraped:
    """Every sample under its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scrape(url: str, unix: str | None = None) -> Scraped:
    """Ask over HTTP, as Prometheus does."""
    async with Fetch() as fetch:
        answer = await fetch.request("GET", url, unix=unix)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return samples(answer.body.decode())
