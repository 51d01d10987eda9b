"""The metrics of budgets tell what may be spent, what was, and whom a budget has kept from a cloud."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from genset.pricing.money import UNIT
from genset.router.budgets.budget_book import BudgetBook


def families(book: BudgetBook | None) -> Iterator[Metric]:
    """Yields what is known of each budget; without samples if there is none."""
    labels = ["budget", "currency"]
    amount = GaugeMetricFamily("genset_budget_amount", "What may be spent in one window of a budget.", labels=labels)
    warns = GaugeMetricFamily("genset_budget_warn_amount", "What is spent when a budget warns.", labels=labels)
    spent = GaugeMetricFamily(
        "genset_budget_spent",
        "What was spent of a budget in the window of now, by all routers of the policy, as this one knows.",
        labels=labels,
    )
    reserved = GaugeMetricFamily(
        "genset_budget_reserved", "What requests in work at this router have reserved of a budget.", labels=labels
    )
    end = GaugeMetricFamily(
        "genset_budget_window_end_seconds", "When a budget begins anew, in seconds since 1970.", labels=labels
    )
    refused = CounterMetricFamily(
        "genset_budget_refused", "Requests that a budget has kept from a backend.", labels=["budget"]
    )
    uncounted = CounterMetricFamily(
        "genset_budget_uncounted",
        "Attempts under a budget that are not in it, because nobody knows what they cost.",
        labels=["budget"],
    )
    blind = GaugeMetricFamily(
        "genset_budget_blind",
        "1 while neither the ledger nor all other routers tell what was spent: this router keeps to its part of what was left.",
    )
    for one in book.budgets if book is not None else ():
        of = [one.terms.name, one.terms.currency]
        amount.add_metric(of, one.terms.amount / UNIT)
        warns.add_metric(of, one.terms.amount * one.terms.warn_percent / 100 / UNIT)
        spent.add_metric(of, one.counts.total / UNIT)
        reserved.add_metric(of, one.reserved / UNIT)
        end.add_metric(of, one.end)
        refused.add_metric(of[:1], one.refused)
        uncounted.add_metric(of[:1], one.uncounted)
    if book is not None:
        blind.add_metric([], int(book.is_blind))
    yield from (amount, warns, spent, reserved, end, refused, uncounted, blind)
