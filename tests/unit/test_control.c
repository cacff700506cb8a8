/* Tokens that roles send to control: values, and nonsense. */
#include "tests/unit/unit.h"

#include "common/control/control.h"

enum { S = HB_ITEM_STR, I = HB_ITEM_INT, T = HB_ITEM_TIME, B = HB_ITEM_BOOL,
	N = HB_ITEM_NULL, O = HB_ITEM_OBJECT, A = HB_ITEM_ARRAY,
	C = HB_ITEM_CLOSE };

struct token {
	int kind; /* enum hb_item_kind */
	const char *key, *str;
	int64_t num;
};

static const char *
add(struct ctl_tree *t, const struct token *k)
{
	struct ipc_ctl_item m = { .kind = (uint32_t)k->kind, .key = hb_span_str(k->key),
		.str = hb_span_str(k->str), .num = k->num };

	return ctl_tree_add(t, &m);
}

static void
values(void **state)
{
	static const struct {
		struct token v[8];
		size_t n;
		const char *want;
	} rows[] = {
		{ { { O, 0, 0, 0 }, { C, 0, 0, 0 } }, 2, "{}" },
		{ { { A, 0, 0, 0 }, { I, 0, 0, 7 }, { B, 0, 0, 1 },
		      { N, 0, 0, 0 }, { C, 0, 0, 0 } }, 5, "[7,true,null]" },
		{ { { O, 0, 0, 0 }, { S, "a", "x", 0 }, { A, "b", 0, 0 },
		      { T, 0, 0, 0 }, { C, 0, 0, 0 }, { C, 0, 0, 0 } }, 6,
		    "{\"a\":\"x\",\"b\":[\"1970-01-01T00:00:00.000Z\"]}" },
		{ { { S, 0, "a\xff" "b", 0 } }, 1, "\"a\\uFFFDb\"" },
		{ { { S, 0, "\xc3\xa4\x1b", 0 } }, 1, "\"\\u00E4\\u001B\"" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct ctl_tree t = { .depth = 0 };
		char *text;

		for (size_t k = 0; k < rows[i].n; k++)
			assert_null(add(&t, &rows[i].v[k]));
		assert_true(t.whole);
		text = json_dumps(t.root,
		    JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);
		assert_string_equal(text, rows[i].want);
		free(text);
		ctl_tree_free(&t);
	}
}

/* The last token is what may not stand there. */
static void
nonsense_is_told(void **state)
{
	static const struct {
		const char *name;
		struct token v[4];
		size_t n;
	} rows[] = {
		{ "close first", { { C, 0, 0, 0 } }, 1 },
		{ "two values", { { I, 0, 0, 1 }, { I, 0, 0, 2 } }, 2 },
		{ "key outside", { { I, "k", 0, 1 } }, 1 },
		{ "key in array", { { A, 0, 0, 0 }, { I, "k", 0, 1 } }, 2 },
		{ "no key", { { O, 0, 0, 0 }, { I, 0, 0, 1 } }, 2 },
		{ "bad key", { { O, 0, 0, 0 }, { I, "\xff", 0, 1 } }, 2 },
		{ "closed twice", { { A, 0, 0, 0 }, { C, 0, 0, 0 },
			{ C, 0, 0, 0 } }, 3 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct ctl_tree t = { .depth = 0 };

		for (size_t k = 0; k + 1 < rows[i].n; k++)
			assert_null(add(&t, &rows[i].v[k]));
		if (add(&t, &rows[i].v[rows[i].n - 1]) == NULL)
			fail_msg("%s", rows[i].name);
		ctl_tree_free(&t);
	}
}

static void
nesting_and_size_are_bounded(void **state)
{
	static const struct token array = { A, 0, 0, 0 };
	static char text[HB_MAX_IPC_BODY + 1];
	struct token str = { S, 0, text, 0 };
	struct ctl_tree t = { .depth = 0 }, u = { .depth = 0 };
	size_t n = 0;

	for (unsigned i = 0; i < CTL_DEPTH; i++)
		assert_null(add(&t, &array));
	assert_non_null(add(&t, &array));
	ctl_tree_free(&t);
	memset(text, 'x', HB_MAX_IPC_BODY);
	assert_null(add(&u, &array));
	while (add(&u, &str) == NULL)
		assert_in_range(++n, 0, 2000);
	ctl_tree_free(&u);
}

static void
count_row(void *ctx, json_t *v)
{
	size_t *n = ctx;

	assert_int_equal(json_integer_value(json_object_get(v, "i")), *n);
	(*n)++;
}

/* A long answer is given away row by row: nothing of it stays. */
static void
rows_are_forgotten(void **state)
{
	static const struct token row[] = { { O, 0, 0, 0 }, { I, "i", 0, 0 },
		{ C, 0, 0, 0 } };
	static const struct token array = { A, 0, 0, 0 }, end = { C, 0, 0, 0 };
	size_t n = 0;
	struct ctl_tree t = { .element = count_row, .ctx = &n };

	assert_null(add(&t, &array));
	for (int64_t i = 0; i < 100000; i++) {
		struct token number = row[1];

		number.num = i;
		assert_null(add(&t, &row[0]));
		assert_null(add(&t, &number));
		assert_null(add(&t, &row[2]));
		assert_int_equal(json_array_size(t.root), 0);
	}
	assert_null(add(&t, &end));
	assert_true(t.whole);
	assert_int_equal(n, 100000);
	ctl_tree_free(&t);
	assert_non_null(add(&(struct ctl_tree){ .element = count_row,
		.ctx = &n }, &row[0]));
}

/* No byte of a stranger acts on a terminal. */
static void
text_is_safe(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{ "plain", "plain" },
		{ "\x1b[2J\r\n\t", "\\x1b[2J\\x0d\\x0a\\x09" },
		{ "\xc3\xa4", "\xc3\xa4" },
		{ "\xc2\x9b" "1m", "\\xc2\\x9b1m" },
		{ "\xff\xc3", "\\xff\\xc3" },
		{ "\xc0\xaf\xed\xa0\x80", "\\xc0\\xaf\\xed\\xa0\\x80" },
		{ "\x7f", "\\x7f" },
		{ "\xe2\x80\xae" "gpj", "\\xe2\\x80\\xaegpj" },
		{ "\xe2\x80\x8b\xe2\x81\xa6\xef\xbb\xbf",
		    "\\xe2\\x80\\x8b\\xe2\\x81\\xa6\\xef\\xbb\\xbf" },
		{ "\xe2\x80\x94\xe2\x82\xac", "\xe2\x80\x94\xe2\x82\xac" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf out = HB_BUF_INIT(0);

		ctl_safe(&out, at_page_end(hb_span_str(rows[i].in)));
		assert_span(hb_buf_span(&out), rows[i].want);
		hb_buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(nonsense_is_told),
		cmocka_unit_test(nesting_and_size_are_bounded),
		cmocka_unit_test(rows_are_forgotten),
		cmocka_unit_test(text_is_safe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
