# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of bench/fleet. Needs nothing but Python."""
import math

BAR = 40
GROWTH_MAX = 1.1  # of a total with the number of devices, as an exponent: 1 is linear
FLAT_MAX = 1.25   # of a figure per device, the largest to the smallest
DAYS_A_MONTH = 30
MB = 1e6


def percentile(values, percent):
    """The smallest of the values that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def histogram(moments, width):
    """How many of the moments are in each slot of that width, from 0 to the last."""
    counts = [0] * (int(max(moments) // width) + 1 if moments else 0)
    for moment in moments:
        counts[int(moment // width)] += 1
    return counts


def most_within(moments, width):
    """The largest number of them in any interval of that width, wherever it begins."""
    ordered, first, most = sorted(moments), 0, 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] >= width:
            first += 1
        most = max(most, last - first + 1)
    return most


def growth(sizes, totals):
    """The exponent by which the totals grow with the sizes, by least squares of the logarithms; None for one size."""
    if len(sizes) < 2 or min(totals) <= 0:
        return None
    x, y = [math.log(size) for size in sizes], [math.log(total) for total in totals]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y)) / sum((a - mean_x) ** 2 for a in x)


def spread(values):
    """The largest to the smallest."""
    return max(values) / min(values) if min(values) > 0 else math.inf


def a_month(total, days):
    return total * DAYS_A_MONTH / days


def bars(counts, width):
    """Lines of text, a bar for each slot."""
    most = max(counts, default=0)
    return [f"  {slot * width:6.1f} s {count:6} {'#' * math.ceil(count * BAR / most) if count else ''}".rstrip()
            for slot, count in enumerate(counts)]
