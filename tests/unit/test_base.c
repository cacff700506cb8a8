/* Floor 0: spans, buffers, arenas, hashes, times, log records. */
#include "tests/unit/unit.h"

#include "common/base/bytes.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/prose.h"
#include "common/base/rows.h"
#include "common/base/table.h"
#include "common/base/timefmt.h"
#include "common/base/utf8.h"

static void
spans_cut_and_compare(void **state)
{
	struct hb_span s = HB_SPAN("one two  three"), rest = s;

	assert_span(hb_span_word(&rest), "one");
	assert_span(hb_span_word(&rest), "two");
	assert_span(hb_span_word(&rest), "three");
	assert_int_equal(hb_span_word(&rest).n, 0);
	rest = s;
	assert_span(hb_span_cut(&rest, ' '), "one");
	assert_span(rest, "two  three");
	assert_span(hb_span_cut(&rest, 'x'), "two  three");
	assert_int_equal(rest.n, 0);
	assert_true(hb_span_eq_nocase(HB_SPAN("MAIL"), HB_SPAN("mail")));
	assert_false(hb_span_eq_nocase(HB_SPAN("MAI["), HB_SPAN("mai{")));
	assert_true(hb_span_cmp(HB_SPAN("a"), HB_SPAN("ab")) < 0);
	assert_span(hb_span_trim(HB_SPAN(" \tx y\r\n")), "x y");
	assert_int_equal(hb_span_from(s, 99).n, 0);
}

static void
bytes_are_found(void **state)
{
	static const struct {
		const char *in, *what;
		size_t at;
	} rows[] = {
		{ "aab", "ab", 1 }, { "abab", "ab", 0 }, { "xab", "ab", 1 },
		{ "xaa", "ab", 3 }, { "a", "ab", 1 }, { "", "a", 0 },
		{ "a", "", 0 }, { "ab", "ab", 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(hb_span_search(at_page_end(hb_span_str(
		    rows[i].in)), hb_span_str(rows[i].what)), rows[i].at);
}

static void
numbers(void **state)
{
	static const struct {
		const char *in;
		uint64_t max, want;
		int err;
	} rows[] = {
		{ "0", 9, 0, 0 },
		{ "18446744073709551615", UINT64_MAX, UINT64_MAX, 0 },
		{ "18446744073709551616", UINT64_MAX, 0, HB_E_RANGE },
		{ "10", 9, 0, HB_E_RANGE },
		{ "", 9, 0, HB_E_SYNTAX },
		{ "+1", 9, 0, HB_E_SYNTAX },
		{ "1 ", 9, 0, HB_E_SYNTAX },
		{ "000000000000000000001", 9, 0, HB_E_SYNTAX },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		uint64_t v = 0;

		assert_int_equal(hb_span_u64(at_page_end(hb_span_str(
		    rows[i].in)), rows[i].max, &v), rows[i].err);
		assert_true(v == rows[i].want);
	}
}

static void
buffers_keep_their_bound(void **state)
{
	struct hb_buf b = HB_BUF_INIT(10);

	assert_int_equal(hb_buf_put(&b, HB_SPAN("0123456789")), 0);
	assert_int_equal(hb_buf_putc(&b, 'x'), HB_E_LIMIT);
	hb_buf_consume(&b, 4);
	assert_int_equal(hb_buf_printf(&b, "%s", "abcd"), 0);
	assert_int_equal(hb_buf_printf(&b, "%s", "e"), HB_E_LIMIT);
	assert_span(hb_buf_span(&b), "456789abcd");
	hb_buf_consume(&b, 10);
	assert_int_equal(b.n, 0);
	hb_buf_free(&b);
}

static void
buffers_grow(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);

	for (int i = 0; i < 10000; i++) {
		hb_buf_addf(&b, "%04d", i);
		if (i % 3 == 0)
			hb_buf_consume(&b, 4);
	}
	assert_int_equal(b.n, 4 * (10000 - 3334));
	assert_span(hb_span_from(hb_buf_span(&b), b.n - 4), "9999");
	hb_buf_free(&b);
}

static void
buffers_end_with_a_nul(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);

	assert_string_equal(hb_buf_cstr(&b), "");
	hb_buf_adds(&b, "Ab[\xc3\x84");
	assert_string_equal(hb_buf_cstr(&b), "Ab[\xc3\x84");
	assert_int_equal(b.n, 5);
	hb_buf_consume(&b, 1);
	hb_buf_adds(&b, "C");
	assert_string_equal(hb_buf_cstr(&b), "b[\xc3\x84" "C");
	hb_buf_free(&b);
}

static void
lower_case_is_ascii(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	unsigned char dst[6];

	hb_buf_adds(&b, "xAZ@[\xc3\x84");
	assert_span(hb_span_lower(hb_span_from(hb_buf_span(&b), 1), dst),
	    "az@[\xc3\x84");
	hb_buf_consume(&b, 1);
	hb_buf_lower(&b, 1);
	assert_span(hb_buf_span(&b), "Az@[\xc3\x84");
	hb_buf_lower(&b, 99);
	hb_buf_lower(&b, 0);
	assert_span(hb_buf_span(&b), "az@[\xc3\x84");
	hb_buf_clear(&b);
	hb_buf_lower(&b, 0);
	hb_buf_free(&b);
}

static void
numbers_as_bytes(void **state)
{
	static const unsigned char le[] = { 8, 7, 6, 5, 4, 3, 2, 0x81 };
	struct hb_buf b = HB_BUF_INIT(0);
	unsigned char dst[9] = { 0 };

	assert_int_equal(hb_get_le32(le), 0x05060708);
	assert_int_equal(hb_get_le32(le + 4), UINT32_C(0x81020304));
	assert_int_equal(hb_get_le64(le), UINT64_C(0x8102030405060708));
	for (size_t n = 0; n <= 8; n++) {
		uint64_t v = hb_get_le(le, n);

		assert_int_equal(v, n == 8 ? hb_get_le64(le)
		    : hb_get_le64(le) & ((UINT64_C(1) << 8 * n) - 1));
		hb_put_le(dst, v, n);
		assert_memory_equal(dst, le, n);
		assert_int_equal(dst[n], 0);
	}
	hb_buf_add_le(&b, 0x1020304, 3);
	hb_buf_add_le(&b, 0x61, 1);
	assert_span(hb_buf_span(&b), "\x04\x03\x02" "a");
	hb_buf_free(&b);
}

static void
utf8_is_well_formed(void **state)
{
	static const struct {
		const char *in;
		size_t want;
	} rows[] = {
		{ "", 0 }, { "a", 1 }, { "\x7f", 1 }, { "ab", 1 },
		{ "\x80", 0 }, { "\xbf", 0 }, { "\xc0\x80", 0 },
		{ "\xc1\xbf", 0 }, { "\xc2\x80", 2 }, { "\xdf\xbf", 2 },
		{ "\xc3", 0 }, { "\xc3(", 0 }, { "\xc3\xa4x", 2 },
		{ "\xe0\x9f\xbf", 0 }, { "\xe0\xa0\x80", 3 },
		{ "\xe2\x82\xac", 3 }, { "\xe2\x82", 0 }, { "\xe2\x82(", 0 },
		{ "\xed\x9f\xbf", 3 }, { "\xed\xa0\x80", 0 },
		{ "\xed\xbf\xbf", 0 }, { "\xef\xbf\xbf", 3 },
		{ "\xf0\x8f\xbf\xbf", 0 }, { "\xf0\x90\x80\x80", 4 },
		{ "\xf0\x90\x80", 0 }, { "\xf0\x90\x80(", 0 },
		{ "\xf4\x8f\xbf\xbf", 4 }, { "\xf4\x90\x80\x80", 0 },
		{ "\xf5\x80\x80\x80", 0 }, { "\xff", 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(hb_utf8_length(at_page_end(hb_span_str(
		    rows[i].in))), rows[i].want);
}

/* Each character by its number, and none that there is not. */
static void
utf8_there_and_back(void **state)
{
	unsigned char room[HB_UTF8_MAX];

	for (uint32_t v = 0; v < 0x110100; v++) {
		size_t n = hb_utf8_encode(v, room);
		bool none = v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF);

		if ((n == 0) != none)
			fail_msg("%x", v);
		if (n == 0)
			continue;
		if (hb_utf8_length(hb_span(room, n)) != n ||
		    hb_utf8_value(hb_span(room, n)) != v)
			fail_msg("%x", v);
	}
	assert_true(hb_utf8_is_ascii(HB_SPAN("a\x7f")));
	assert_false(hb_utf8_is_ascii(HB_SPAN("a\x80")));
}

static void
arenas_zero_and_reset(void **state)
{
	struct hb_arena *a = hb_arena_new();

	for (size_t n = 1; n < 10000; n += 997) {
		unsigned char *p = hb_arena_alloc(a, n);

		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	hb_arena_reset(a);
	assert_string_equal(hb_arena_cstr(a, HB_SPAN("x")), "x");
	hb_arena_free(&a);
	assert_null(a);
}

/* Bit by bit, as CRC-32C is defined. */
static uint32_t
crc_of_bits(struct hb_span s)
{
	uint32_t c = UINT32_MAX;

	for (size_t i = 0; i < s.n; i++) {
		c ^= s.p[i];
		for (int k = 0; k < 8; k++)
			c = c & 1 ? c >> 1 ^ UINT32_C(0x82f63b78) : c >> 1;
	}
	return ~c;
}

static void
crc_of_long_spans(void **state)
{
	unsigned char b[1000];

	for (size_t i = 0; i < sizeof(b); i++)
		b[i] = (unsigned char)(i * i + i / 7);
	for (size_t from = 0; from < 9; from++)
		for (size_t n = 0; n < sizeof(b) - from; n += 13) {
			struct hb_span s = hb_span(b + from, n);

			assert_int_equal(hb_crc32c(0, s), crc_of_bits(s));
		}
}

static void
hashes_match_published_values(void **state)
{
	static const char digits[] = "123456789";
	unsigned char key[16], in[15];

	for (size_t i = 0; i < 16; i++)
		key[i] = (unsigned char)i;
	for (size_t i = 0; i < 15; i++)
		in[i] = (unsigned char)i;
	/* SipHash paper, appendix A */
	assert_true(hb_siphash(key, hb_span(in, 15)) ==
	    UINT64_C(0xa129ca6149be45e5));
	/* the check value of CRC-32C */
	assert_int_equal(hb_crc32c(0, hb_span_str(digits)), 0xe3069283);
	for (size_t cut = 0; cut < 9; cut++)
		assert_int_equal(hb_crc32c(hb_crc32c(0, hb_span(digits, cut)),
		    hb_span(digits + cut, 9 - cut)), 0xe3069283);
}

struct named {
	UT_hash_handle hh;
	char name[8];
};

/* The same name is found again, and hashes elsewhere under another key. */
static void
tables_are_keyed(void **state)
{
	static const unsigned char key[16] = { 1, 2, 3 };
	struct named rows[100], *table = NULL, *found;
	unsigned before = hb_table_hash("name", 4);

	hb_table_seed(key);
	assert_int_not_equal(hb_table_hash("name", 4), before);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		snprintf(rows[i].name, sizeof(rows[i].name), "n%zu", i);
		HASH_ADD_STR(table, name, &rows[i]);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		HASH_FIND_STR(table, rows[i].name, found);
		assert_ptr_equal(found, &rows[i]);
	}
	HASH_FIND_STR(table, "other", found);
	assert_null(found);
	HASH_CLEAR(hh, table);
}

/* Queue and delivery ask in processes of their own: the answer is the same,
 * and every worker gets its share. */
static void
every_worker_is_some_domains_home(void **state)
{
	unsigned seen[3] = { 0 };

	assert_int_equal(hb_home_worker(HB_SPAN("far.test"), 1), 0);
	for (char c = 'a'; c <= 'z'; c++)
		seen[hb_home_worker(hb_span(&c, 1), 3)]++;
	for (size_t i = 0; i < HB_ARRAY_LEN(seen); i++)
		assert_in_range(seen[i], 3, 20);
}

static void
siphash_in_pieces(void **state)
{
	const unsigned char key[16] = { 1 };
	struct hb_span s = HB_SPAN("The quick brown fox jumps over it.");

	for (size_t i = 0; i <= s.n; i++)
		for (size_t j = i; j <= s.n; j++) {
			struct hb_siphash h;

			hb_siphash_init(&h, key);
			hb_siphash_update(&h, hb_span_head(s, i));
			hb_siphash_update(&h, hb_span(s.p + i, j - i));
			hb_siphash_update(&h, hb_span_from(s, j));
			assert_true(hb_siphash_final(&h) == hb_siphash(key, s));
		}
}

struct numbered {
	HB_ROW(id);
	unsigned n;
};

/* KEYS different keys: the others come twice. */
static void
fill_rows(struct hb_rows *t, struct numbered *rows, unsigned n, unsigned keys)
{
	for (unsigned i = 0; i < n; i++) {
		size_t before = t->size;

		rows[i].n = i;
		hb_rows_add(t, &rows[i], (uint64_t)(i % keys) << 20);
		assert_true(i == 0 || t->size - before <= 1);
		assert_true(t->size >= t->n);
	}
}

static unsigned
count_rows(const struct hb_rows *t, unsigned char *seen)
{
	unsigned n = 0;

	for (struct numbered *r = hb_rows_next(t, NULL); r != NULL;
	     r = hb_rows_next(t, r), n++)
		assert_int_equal(seen[r->n]++, 0);
	return n;
}

static void
rows_are_found_and_grow_by_one(void **state)
{
	enum { N = 20000, KEYS = 15000 };
	struct numbered *rows = calloc(N, sizeof(*rows)), *r;
	unsigned char *seen = calloc(N, 1);
	struct hb_rows t = { .salt = 5 };

	assert_null(hb_rows_find(&t, 0));
	assert_null(hb_rows_next(&t, NULL));
	fill_rows(&t, rows, N, KEYS);
	assert_int_equal(count_rows(&t, seen), N);
	for (unsigned i = 0; i < N; i++) {
		for (r = hb_rows_find(&t, rows[i].id); r != &rows[i];)
			r = hb_rows_same(r);
		if (i % 3 == 0)
			hb_rows_remove(&t, r);
	}
	assert_null(hb_rows_find(&t, 1));
	memset(seen, 0, N);
	assert_int_equal(count_rows(&t, seen), N - (N + 2) / 3);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(seen[i], i % 3 != 0);
	for (r = hb_rows_next(&t, NULL); r != NULL;) {
		struct numbered *after = hb_rows_next(&t, r);

		hb_rows_remove(&t, r);
		r = after;
	}
	assert_int_equal(t.n, 0);
	hb_rows_free(&t);
	free(rows);
	free(seen);
}

static void
times_as_text(void **state)
{
	char t[HB_TIME_RFC5322_SIZE];
	int64_t ms;

	hb_time_rfc3339(0, t);
	assert_string_equal(t, "1970-01-01T00:00:00.000Z");
	hb_time_rfc3339(INT64_C(1709210096789), t);
	assert_string_equal(t, "2024-02-29T12:34:56.789Z");
	hb_time_rfc5322(INT64_C(1709210096789), t);
	assert_string_equal(t, "Thu, 29 Feb 2024 12:34:56 +0000");
	assert_int_equal(hb_date_parse(HB_SPAN("2024-02-29"), &ms), 0);
	assert_true(ms == INT64_C(1709164800000));
	assert_int_equal(hb_date_parse(HB_SPAN("2023-02-29"), &ms), HB_E_RANGE);
	assert_int_equal(hb_date_parse(HB_SPAN("2023-2-29"), &ms), HB_E_SYNTAX);
}

static void
times_for_people(void **state)
{
	static const struct {
		int64_t s;
		const char *want;
	} rows[] = { { 0, "just now" }, { 1, "in 1 second" }, { -1, "1 second ago" },
		{ 119, "in 119 seconds" }, { 120, "in 2 minutes" },
		{ -7199, "119 minutes ago" }, { -7200, "2 hours ago" },
		{ 6 * 86400 + 86399, "in 6 days" },
		{ 14 * 86400, "in 2 weeks" },
		{ 2 * 31557600, "in 2 years" } };
	char t[HB_TIME_PLAIN_SIZE];

	hb_time_plain(INT64_C(1709210096789), t);
	assert_string_equal(t, "29 Feb 2024 12:34 UTC");
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		hb_time_distance(7000 + rows[i].s * 1000, 7000, t);
		assert_string_equal(t, rows[i].want);
	}
	hb_time_distance(INT64_MIN, INT64_MAX, t);
	assert_non_null(strstr(t, "years ago"));
}

static void
test_S_20_amounts_for_people(void **state)
{
	static const struct {
		int64_t s;
		const char *want;
	} rows[] = { { 0, "0 seconds" }, { 1, "1 second" },
		{ 119, "119 seconds" }, { 120, "2 minutes" },
		{ 94607999, "2 years" }, { 3 * 86400, "3 days" } };
	char t[32];

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		hb_time_amount(rows[i].s * 1000, t);
		assert_string_equal(t, rows[i].want);
	}
}

static void
times_are_read_back(void **state)
{
	static const int64_t good[] = { 0, INT64_C(1709210096789),
		INT64_C(4102444799999) };
	static const char *const bad[] = { "", "2024-02-29", "2024-02-29T",
		"2024-02-29T12:34:56", "2024-02-29T12:34:56.7Z",
		"2024-02-29T24:00:00Z", "2024-02-30T00:00:00Z",
		"2024-02-29 12:34:56Z", "2024-02-29T12:34:56.789Zx" };
	char t[HB_TIME_RFC3339_SIZE];
	int64_t ms;

	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		hb_time_rfc3339(good[i], t);
		assert_int_equal(hb_time_rfc3339_parse(hb_span_str(t), &ms), 0);
		assert_true(ms == good[i]);
	}
	assert_int_equal(
	    hb_time_rfc3339_parse(HB_SPAN("2024-02-29T12:34:56Z"), &ms), 0);
	assert_true(ms == INT64_C(1709210096000));
	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++)
		assert_true(hb_time_rfc3339_parse(
		    at_page_end(hb_span_str(bad[i])), &ms) < 0);
}

static void
prose_is_wrapped(void **state)
{
#define TEN "xxxxxxxxx "
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "", "" },
		{ "   ", "" },
		{ " a  b c ", "  a  b c\n" },
		{ SEVENTY, "  " TEN TEN TEN TEN TEN TEN "xxxxxxxxx\n" },
		{ SEVENTY "x", "  " TEN TEN TEN TEN TEN TEN TEN "\n  x\n" },
		{ SEVENTY "  xx", "  " TEN TEN TEN TEN TEN TEN
		    "xxxxxxxxx\n  xx\n" },
		{ "\xc3\xa4\xc3\xa4\xc3\xa4 " TEN TEN TEN TEN TEN TEN
		    "xxxxxx", "  \xc3\xa4\xc3\xa4\xc3\xa4 " TEN TEN TEN TEN TEN
		    TEN "xxxxxx\n" },
		{ "a " SEVENTY, "  a " TEN TEN TEN TEN TEN TEN
		    "\n  xxxxxxxxx\n" },
		{ "a xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx b",
		    "  a\n  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n  b\n" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0), want = HB_BUF_INIT(0);

		hb_prose_wrap(&out, at_page_end(hb_span_str(rows[i].in)), "  ",
		    "\n");
		/* the rows have a blank where a line ends */
		for (const char *c = rows[i].want; *c != '\0'; c++)
			if (*c != ' ' || c[1] != '\n')
				hb_buf_add(&want, hb_span(c, 1));
		assert_true(hb_span_eq(hb_buf_span(&out), hb_buf_span(&want)));
		hb_buf_free(&out);
		hb_buf_free(&want);
	}
}

static void
durations_and_sizes(void **state)
{
	static const struct {
		const char *in;
		int64_t ms;
		const char *out;
	} good[] = { { "30s", 30000, "30s" }, { "90", 90000, "90s" },
		{ "5m", 300000, "5m" }, { "24h", 86400000, "1d" },
		{ "0", 0, "0" } };
	static const char *const bad[] = { "", "m", "5x", "-5s", "5 s",
		"99999999999d" };
	char text[24];
	uint64_t size;
	int64_t ms;

	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		assert_int_equal(hb_duration_parse(hb_span_str(good[i].in),
		    &ms), 0);
		assert_true(ms == good[i].ms);
		hb_duration_format(ms, text);
		assert_string_equal(text, good[i].out);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(bad); i++)
		assert_true(hb_duration_parse(hb_span_str(bad[i]), &ms) < 0);
	assert_int_equal(hb_size_parse(HB_SPAN("50M"), &size), 0);
	assert_true(size == 52428800);
	hb_size_format(size, text);
	assert_string_equal(text, "50M");
}

static void
remote_text_cannot_forge_a_record(void **state)
{
	struct hb_log_head head = { 0, "smtpd", 7, HB_LOG_INFO };
	struct hb_kv kv[] = {
		hb_kv_id(HB_K_MSG, 0xabc),
		hb_kv_span(HB_K_FROM, HB_SPAN("a\nev=accept \"x\\\xff")),
		hb_kv_str(HB_K_TO, ""),
		hb_kv_if(false, hb_kv_str(HB_K_HELO, "gone")),
		hb_kv_int(HB_K_SIZE, -5),
		{ .key = HB_K_END },
	};
	struct hb_buf b = HB_BUF_INIT(0);

	hb_log_format(&b, HB_LOG_TEXT, &head, HB_EV_ACCEPT, kv);
	assert_span(hb_buf_span(&b),
	    "1970-01-01T00:00:00.000Z smtpd[7] info ev=accept "
	    "msg=0000000000000abc from=\"a\\x0aev=accept \\\"x\\\\\\xff\" "
	    "to=\"\" size=-5\n");
	hb_buf_clear(&b);
	hb_log_format(&b, HB_LOG_JSON, &head, HB_EV_ACCEPT, kv);
	assert_span(hb_buf_span(&b),
	    "{\"time\":\"1970-01-01T00:00:00.000Z\",\"role\":\"smtpd\","
	    "\"pid\":7,\"level\":\"info\",\"ev\":\"accept\","
	    "\"msg\":\"0000000000000abc\","
	    "\"from\":\"a\\u000aev=accept \\\"x\\\\\\u00ff\","
	    "\"to\":\"\",\"size\":-5}\n");
	hb_buf_free(&b);
}

/* EAI-01: UTF-8 is UTF-8 in JSON; what a terminal would obey is escaped. */
static void
test_EAI_01_json_log_is_utf8(void **state)
{
	static const struct {
		const char *in, *text, *json;
	} rows[] = {
		{ "k\xc3\xa4", "k\\xc3\\xa4", "k\xc3\xa4" },
		{ "\xf0\x9f\x93\xa7", "\\xf0\\x9f\\x93\\xa7",
		    "\xf0\x9f\x93\xa7" },
		{ "\xe2\x80\xaex", "\\xe2\\x80\\xaex", "\\u202ex" },
		{ "\xc2\x9b", "\\xc2\\x9b", "\\u009b" },
		{ "\xf0\x9f\xbf\xbf", "\\xf0\\x9f\\xbf\\xbf",
		    "\\ud83f\\udfff" },
		{ "\xc3(", "\\xc3(", "\\u00c3(" },
		{ "\x7f", "\\x7f", "\\u007f" },
	};
	struct hb_log_head head = { 0, "smtpd", 7, HB_LOG_INFO };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_kv kv[] = {
			hb_kv_span(HB_K_FROM, at_page_end(hb_span_str(rows[i].in))),
			{ .key = HB_K_END } };
		struct hb_buf b = HB_BUF_INIT(0), want = HB_BUF_INIT(0);

		hb_log_format(&b, HB_LOG_TEXT, &head, HB_EV_ACCEPT, kv);
		hb_buf_addf(&want, "1970-01-01T00:00:00.000Z smtpd[7] info "
		    "ev=accept from=\"%s\"\n", rows[i].text);
		assert_span(hb_buf_span(&b), hb_buf_cstr(&want));
		hb_buf_clear(&b);
		hb_buf_clear(&want);
		hb_log_format(&b, HB_LOG_JSON, &head, HB_EV_ACCEPT, kv);
		hb_buf_addf(&want, "{\"time\":\"1970-01-01T00:00:00.000Z\","
		    "\"role\":\"smtpd\",\"pid\":7,\"level\":\"info\","
		    "\"ev\":\"accept\",\"from\":\"%s\"}\n", rows[i].json);
		assert_span(hb_buf_span(&b), hb_buf_cstr(&want));
		hb_buf_free(&b);
		hb_buf_free(&want);
	}
}

static void
check_unique(const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(words[i], words[j]);
}

static void
every_log_word_is_unique(void **state)
{
	static const char *const events[] = {
#define HB_EVENT(sym, word) word,
#include "common/base/logkeys.def"
	};
	static const char *const keys[] = {
#define HB_KEY(sym, word) word,
#include "common/base/logkeys.def"
	};

	check_unique(events, HB_ARRAY_LEN(events));
	check_unique(keys, HB_ARRAY_LEN(keys));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spans_cut_and_compare),
		cmocka_unit_test(bytes_are_found),
		cmocka_unit_test(numbers),
		cmocka_unit_test(buffers_keep_their_bound),
		cmocka_unit_test(buffers_grow),
		cmocka_unit_test(buffers_end_with_a_nul),
		cmocka_unit_test(lower_case_is_ascii),
		cmocka_unit_test(numbers_as_bytes),
		cmocka_unit_test(utf8_is_well_formed),
		cmocka_unit_test(utf8_there_and_back),
		cmocka_unit_test(test_EAI_01_json_log_is_utf8),
		cmocka_unit_test(arenas_zero_and_reset),
		cmocka_unit_test(hashes_match_published_values),
		cmocka_unit_test(every_worker_is_some_domains_home),
		cmocka_unit_test(crc_of_long_spans),
		cmocka_unit_test(siphash_in_pieces),
		cmocka_unit_test(tables_are_keyed),
		cmocka_unit_test(rows_are_found_and_grow_by_one),
		cmocka_unit_test(times_as_text),
		cmocka_unit_test(times_for_people),
		cmocka_unit_test(test_S_20_amounts_for_people),
		cmocka_unit_test(times_are_read_back),
		cmocka_unit_test(prose_is_wrapped),
		cmocka_unit_test(durations_and_sizes),
		cmocka_unit_test(remote_text_cannot_forge_a_record),
		cmocka_unit_test(every_log_word_is_unique),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
