// SPDX-License-Identifier: Apache-2.0
#include "config/activation_window.h"

#include "config/schema.h"

#include <time.h>

enum {
	DAYS = 7,
	EVERY_DAY = (1 << DAYS) - 1,
	HOUR_MINUTES = 60,
	DAY_MINUTES = 24 * HOUR_MINUTES,
	WEEK_MINUTES = DAYS * DAY_MINUTES,
	MINUTE_S = 60,
	SHOWN_MAX = 40, ///< Of a text in an error.
	STEPS_MAX = 64, ///< Far more than changes of the offset from UTC in two weeks.
};

static const char RULE[] =
	"must be windows of local time, such as \"02:00-05:30\" or \"Mon-Fri 22:00-06:00, Sat "
	"02:00-05:30\"";

// Parsing ----------------------------------------------------------------------------------------

/// What is wrong with which part of the text.
static bool refuse_window(struct lm_buf *why, struct lm_str part, const char *problem)
{
	char shown[4 * SHOWN_MAX + 32];

	return schema_refuse(why, "%s; '%s' %s", RULE,
		lm_str_shorten(part, SHOWN_MAX, shown, sizeof(shown)), problem);
}

/// "Mon"; -1: it is none.
static int read_weekday(struct lm_str text)
{
	static const char *const names[DAYS] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};

	for (int i = 0; i < DAYS; i++)
		if (lm_str_eq_nocase(text, lm_str(names[i])))
			return i;
	return -1;
}

/// "Mon" or "Fri-Mon", as a set; 0: it is none.
static unsigned read_weekdays(struct lm_str text)
{
	struct lm_str rest = text;
	int first = read_weekday(lm_str_cut(&rest, '-'));
	bool is_range = lm_str_find(text, '-') < text.n;
	int last = is_range ? read_weekday(rest) : first;
	unsigned days = 0;

	if (first < 0 || last < 0)
		return 0;
	for (int day = first;; day = (day + 1) % DAYS) {
		days |= 1U << day;
		if (day == last)
			return days;
	}
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/// Two digits; -1: they are none.
static int read_two_digits(const char *p)
{
	return is_digit(p[0]) && is_digit(p[1]) ? (p[0] - '0') * 10 + (p[1] - '0') : -1;
}

/// "HH:MM", up to 24:00, as the minute of the day.
static bool read_window_time(struct lm_str text, unsigned *ret)
{
	if (text.n != 5 || text.p[2] != ':')
		return false;
	int hour = read_two_digits(text.p), minute = read_two_digits(text.p + 3);
	if (hour < 0 || minute < 0 || minute >= HOUR_MINUTES)
		return false;
	*ret = (unsigned)(hour * HOUR_MINUTES + minute);
	return *ret <= DAY_MINUTES;
}

/// "HH:MM-HH:MM".
static bool read_times(struct lm_str text, struct activation_window *ret, struct lm_buf *why)
{
	struct lm_str rest = text;
	struct lm_str from = lm_str_cut(&rest, '-');
	unsigned until;

	if (!read_window_time(from, &ret->from) || !read_window_time(rest, &until))
		return refuse_window(why, text, "is not from HH:MM-HH:MM, 00:00 to 24:00");
	if (ret->from == DAY_MINUTES)
		return refuse_window(why, text, "opens at 24:00; write 00:00 and the next day");
	if (ret->from == until)
		return refuse_window(why, text, "is empty; a whole day is 00:00-24:00");
	ret->minutes = until > ret->from ? until - ret->from : DAY_MINUTES - ret->from + until;
	return true;
}

/// What is between two commas: times, weekdays with times, or weekdays for the times that follow,
/// which are kept in `days`.
static bool read_part(
	struct lm_str part, struct activation_windows *w, unsigned *days, struct lm_buf *why)
{
	struct lm_str rest = part;
	bool has_days = part.n > 0 && !is_digit(part.p[0]);

	if (part.n == 0)
		return refuse_window(why, part, "between two commas is empty");
	if (has_days) {
		struct lm_str names = lm_str_cut(&rest, ' ');
		unsigned named = read_weekdays(names);

		if (!named)
			return refuse_window(why, names,
				"is neither a weekday (Mon, Tue, Wed, Thu, Fri, Sat, Sun), nor a "
				"range of them, nor a time");
		*days |= named;
		rest = lm_str_trim(rest);
		if (rest.n == 0)
			return true;
	} else if (*days) {
		return refuse_window(why, part, "follows weekdays that have no times");
	}
	if (w->n == ACTIVATION_WINDOWS_MAX)
		return refuse_window(why, part, "is one more than the 32 windows that are allowed");
	struct activation_window *window = &w->items[w->n];
	*window = (struct activation_window){.days = has_days ? *days : EVERY_DAY};
	if (!read_times(rest, window, why))
		return false;
	w->n++;
	*days = 0;
	return true;
}

bool activation_windows_parse(
	struct lm_str text, struct activation_windows *ret, struct lm_buf *why)
{
	struct lm_str rest = text;
	unsigned days = 0;

	*ret = (struct activation_windows){.n = 0};
	for (bool last = false; !last;) {
		last = lm_str_find(rest, ',') == rest.n;
		if (!read_part(lm_str_trim(lm_str_cut(&rest, ',')), ret, &days, why))
			return false;
	}
	return !days || refuse_window(why, text, "ends with weekdays that have no times");
}

// Time -------------------------------------------------------------------------------------------

struct local_time {
	unsigned minute; ///< Of the week, from Sunday 00:00.
	int second;      ///< Of the minute.
	long offset_s;   ///< From UTC.
};

static bool find_local_time(int64_t wall_s, struct local_time *ret)
{
	time_t time = (time_t)wall_s;
	struct tm tm;

	if (!localtime_r(&time, &tm))
		return false;
	*ret = (struct local_time){
		.minute = (unsigned)(tm.tm_wday * DAY_MINUTES + tm.tm_hour * HOUR_MINUTES +
				     tm.tm_min),
		.second = tm.tm_sec < MINUTE_S ? tm.tm_sec : MINUTE_S - 1,
		.offset_s = tm.tm_gmtoff,
	};
	return true;
}

/// From minute `from` of a week to `to`.
static unsigned minutes_until(unsigned from, unsigned to)
{
	return (to + WEEK_MINUTES - from) % WEEK_MINUTES;
}

/// Minutes from that minute of the week until one opens, by the clock on the wall; 0: one is open.
static unsigned minutes_closed(const struct activation_windows *w, unsigned minute)
{
	unsigned least = WEEK_MINUTES;

	for (size_t i = 0; i < w->n; i++) {
		for (unsigned day = 0; day < DAYS; day++) {
			unsigned opens = day * DAY_MINUTES + w->items[i].from;
			unsigned left = minutes_until(minute, opens);

			if (!(w->items[i].days & 1U << day))
				continue;
			if (minutes_until(opens, minute) < w->items[i].minutes)
				return 0;
			if (left < least)
				least = left;
		}
	}
	return least;
}

bool activation_windows_are_open(const struct activation_windows *w, int64_t wall_s)
{
	struct local_time now;

	tzset(); // the zone may have been set anew
	return find_local_time(wall_s, &now) && minutes_closed(w, now.minute) == 0;
}

/// The first second after `from_s`, at which the offset is `offset_s`, that has another one, as
/// `to_s` has.
static int64_t find_offset_change(int64_t from_s, int64_t to_s, long offset_s)
{
	struct local_time middle;

	while (to_s - from_s > 1) {
		int64_t middle_s = from_s + (to_s - from_s) / 2;

		if (find_local_time(middle_s, &middle) && middle.offset_s == offset_s)
			from_s = middle_s;
		else
			to_s = middle_s;
	}
	return to_s;
}

int64_t activation_windows_next(const struct activation_windows *w, int64_t wall_s)
{
	struct local_time now, then;

	tzset();
	for (unsigned i = 0; w->n > 0 && i < STEPS_MAX; i++) {
		if (!find_local_time(wall_s, &now))
			return -1;
		unsigned minutes = minutes_closed(w, now.minute);
		if (minutes == 0)
			return wall_s;
		int64_t next_s = wall_s + (int64_t)minutes * MINUTE_S - now.second;
		if (!find_local_time(next_s, &then))
			return -1;
		// Until the clocks change no window opens; then it is looked again.
		wall_s = then.offset_s == now.offset_s
				 ? next_s
				 : find_offset_change(wall_s, next_s, now.offset_s);
	}
	return -1;
}
