/* Times, durations and sizes as text.  Floor 0. */
#include "common/base/timefmt.h"

#include <stdio.h>

#include "common/base/err.h"

enum { MS = 1000 };

struct civil {
	int64_t year;
	int month, day, hour, minute, second, ms, weekday;
};

/* Days from the civil calendar and back: the era method (400-year cycles). */
static int64_t
days_from_civil(int64_t y, int m, int d)
{
	int64_t era, yoe, doy;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = y - era * 400;
	doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void
civil_from_days(int64_t z, struct civil *c)
{
	int64_t era, doe, yoe, doy, mp;

	z += 719468;
	era = (z >= 0 ? z : z - 146096) / 146097;
	doe = z - era * 146097;
	yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	mp = (5 * doy + 2) / 153;
	c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	c->year = yoe + era * 400 + (c->month <= 2);
}

static struct civil
civil_time(int64_t ms)
{
	struct civil c;
	int64_t day = ms / 86400000, rest = ms % 86400000;

	if (rest < 0) {
		rest += 86400000;
		day--;
	}
	civil_from_days(day, &c);
	c.weekday = (int)(((day + 4) % 7 + 7) % 7);
	c.ms = (int)(rest % MS);
	rest /= MS;
	c.second = (int)(rest % 60);
	c.minute = (int)(rest / 60 % 60);
	c.hour = (int)(rest / 3600);
	return c;
}

void
hb_time_rfc3339(int64_t ms, char *dst)
{
	struct civil c = civil_time(ms);

	snprintf(dst, HB_TIME_RFC3339_SIZE,
	    "%04lld-%02d-%02dT%02d:%02d:%02d.%03dZ", (long long)c.year % 10000,
	    c.month, c.day, c.hour, c.minute, c.second, c.ms);
}

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };

void
hb_time_rfc5322(int64_t ms, char *dst)
{
	static const char wd[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu",
		"Fri", "Sat" };
	struct civil c = civil_time(ms);

	snprintf(dst, HB_TIME_RFC5322_SIZE,
	    "%s, %d %s %04lld %02d:%02d:%02d +0000", wd[c.weekday], c.day,
	    months[c.month - 1], (long long)c.year % 10000, c.hour, c.minute,
	    c.second);
}

void
hb_time_plain(int64_t ms, char *dst)
{
	struct civil c = civil_time(ms);

	snprintf(dst, HB_TIME_PLAIN_SIZE, "%d %s %04lld %02d:%02d UTC", c.day,
	    months[c.month - 1], (long long)c.year % 10000, c.hour, c.minute);
}

/* S seconds in the largest unit that is there twice. */
static void
put_amount(int64_t s, char *dst, size_t size)
{
	static const struct {
		const char *word;
		int64_t s;
	} units[] = { { "year", 31557600 }, { "week", 604800 },
		{ "day", 86400 }, { "hour", 3600 }, { "minute", 60 },
		{ "second", 1 } };
	size_t i = 0;

	while (i < HB_ARRAY_LEN(units) - 1 && s < 2 * units[i].s)
		i++;
	s /= units[i].s;
	snprintf(dst, size, "%lld %s%s", (long long)s, units[i].word,
	    s == 1 ? "" : "s");
}

void
hb_time_amount(int64_t ms, char *dst)
{
	put_amount(ms / MS, dst, 32);
}

void
hb_time_distance(int64_t ms, int64_t now_ms, char *dst)
{
	bool past = ms < now_ms;
	uint64_t far = past ? (uint64_t)now_ms - (uint64_t)ms
			    : (uint64_t)ms - (uint64_t)now_ms;
	char amount[24];

	put_amount((int64_t)(far / MS), amount, sizeof(amount));
	if (far < MS)
		snprintf(dst, 32, "just now");
	else
		snprintf(dst, 32, "%s%s%s", past ? "" : "in ", amount,
		    past ? " ago" : "");
}

struct unit {
	char letter;
	uint64_t factor;
};

/* A number and at most one letter of UNITS (by rising factor). */
static int
parse_units(struct hb_span s, const struct unit *units, size_t n,
    uint64_t bare, uint64_t *out)
{
	uint64_t factor = bare, v;
	int r;

	if (s.n > 0 && !hb_is_digit(s.p[s.n - 1])) {
		factor = 0;
		for (size_t i = 0; i < n; i++)
			if (hb_lower((unsigned char)units[i].letter) ==
			    hb_lower(s.p[s.n - 1]))
				factor = units[i].factor;
		if (factor == 0)
			return HB_E_SYNTAX;
		s.n--;
	}
	r = hb_span_u64(s, UINT64_C(1) << 62, &v);
	if (r < 0)
		return r;
	if (v > (UINT64_C(1) << 62) / factor)
		return HB_E_RANGE;
	*out = v * factor;
	return 0;
}

static void
format_units(uint64_t v, const struct unit *units, size_t n, char *dst)
{
	for (size_t i = n; i-- > 0;)
		if (v > 0 && v % units[i].factor == 0) {
			snprintf(dst, 24, "%llu%c",
			    (unsigned long long)(v / units[i].factor),
			    units[i].letter);
			return;
		}
	snprintf(dst, 24, "%llu", (unsigned long long)v);
}

static const struct unit time_units[] = { { 's', 1 }, { 'm', 60 },
	{ 'h', 3600 }, { 'd', 86400 } };
static const struct unit size_units[] = { { 'K', 1024 }, { 'M', 1048576 },
	{ 'G', 1073741824 } };

int
hb_duration_parse(struct hb_span s, int64_t *out_ms)
{
	uint64_t v;
	int r = parse_units(s, time_units, HB_ARRAY_LEN(time_units), 1, &v);

	if (r < 0)
		return r;
	/* A century bounds every sum that is made with it. */
	if (v > UINT64_C(3153600000))
		return HB_E_RANGE;
	*out_ms = (int64_t)v * MS;
	return 0;
}

void
hb_duration_format(int64_t ms, char *dst)
{
	format_units((uint64_t)(ms / MS), time_units, HB_ARRAY_LEN(time_units),
	    dst);
}

int
hb_size_parse(struct hb_span s, uint64_t *out)
{
	return parse_units(s, size_units, HB_ARRAY_LEN(size_units), 1, out);
}

void
hb_size_format(uint64_t bytes, char *dst)
{
	format_units(bytes, size_units, HB_ARRAY_LEN(size_units), dst);
}

static int
days_in_month(int64_t y, int m)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
		30, 31 };
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return m == 2 && leap ? 29 : days[m - 1];
}

int
hb_date_parse(struct hb_span s, int64_t *out_ms)
{
	uint64_t y, m, d;

	if (s.n != 10 || s.p[4] != '-' || s.p[7] != '-')
		return HB_E_SYNTAX;
	if (hb_span_u64(hb_span(s.p, 4), 9999, &y) < 0 ||
	    hb_span_u64(hb_span(s.p + 5, 2), 12, &m) < 0 ||
	    hb_span_u64(hb_span(s.p + 8, 2), 31, &d) < 0)
		return HB_E_SYNTAX;
	if (m == 0 || d == 0 || (int)d > days_in_month((int64_t)y, (int)m))
		return HB_E_RANGE;
	*out_ms = days_from_civil((int64_t)y, (int)m, (int)d) * 86400000;
	return 0;
}

/* "hh:mm:ss" and perhaps ".sss", then "Z". */
static int
parse_clock(struct hb_span s, int64_t *out_ms)
{
	uint64_t h, m, sec, ms = 0;

	if (s.n < 9 || s.p[2] != ':' || s.p[5] != ':' || s.p[s.n - 1] != 'Z')
		return HB_E_SYNTAX;
	if (hb_span_u64(hb_span(s.p, 2), 23, &h) < 0 ||
	    hb_span_u64(hb_span(s.p + 3, 2), 59, &m) < 0 ||
	    hb_span_u64(hb_span(s.p + 6, 2), 60, &sec) < 0)
		return HB_E_SYNTAX;
	if (s.n != 9 && (s.n != 13 || s.p[8] != '.' ||
			    hb_span_u64(hb_span(s.p + 9, 3), 999, &ms) < 0))
		return HB_E_SYNTAX;
	*out_ms = (int64_t)(((h * 60 + m) * 60 + sec) * MS + ms);
	return 0;
}

int
hb_time_rfc3339_parse(struct hb_span s, int64_t *out_ms)
{
	int64_t day, clock;
	int r;

	if (s.n < 11 || s.p[10] != 'T')
		return HB_E_SYNTAX;
	r = hb_date_parse(hb_span_head(s, 10), &day);
	if (r == 0)
		r = parse_clock(hb_span_from(s, 11), &clock);
	if (r == 0)
		*out_ms = day + clock;
	return r;
}
