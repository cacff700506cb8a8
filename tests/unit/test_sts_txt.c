/* The TXT record of MTA-STS: STS-03 to STS-05. */
#include "tests/unit/unit.h"

#include "sts/txt.h"

static void
sts05_record_grammar(void **state)
{
	static const struct {
		const char *name;
		struct hb_span in;
		int want;
		const char *id;
	} rows[] = {
		/* clang-format off */
		{ "as in the RFC", HB_SPAN("v=STSv1; id=20160831085700Z;"), 0, "20160831085700Z" },
		{ "no last delimiter", HB_SPAN("v=STSv1; id=1"), 0, "1" },
		{ "no blanks", HB_SPAN("v=STSv1;id=a;"), 0, "a" },
		{ "many blanks", HB_SPAN("v=STSv1; \t id=a \t ; \t "), 0, "a" },
		{ "id of 32", HB_SPAN("v=STSv1; id=12345678901234567890123456789012;"), 0,
		    "12345678901234567890123456789012" },
		{ "id of 33", HB_SPAN("v=STSv1; id=123456789012345678901234567890123;"), HB_E_SYNTAX, "" },
		{ "empty id", HB_SPAN("v=STSv1; id=;"), HB_E_SYNTAX, "" },
		{ "id with dash", HB_SPAN("v=STSv1; id=2016-08;"), HB_E_SYNTAX, "" },
		{ "id with 8 bit", HB_SPAN("v=STSv1; id=\xc3\xa9;"), HB_E_SYNTAX, "" },
		{ "id with blank", HB_SPAN("v=STSv1; id=a b;"), HB_E_SYNTAX, "" },
		{ "blank before value", HB_SPAN("v=STSv1; id= a;"), HB_E_SYNTAX, "" },
		{ "NUL in id", HB_SPAN("v=STSv1; id=a\0;"), HB_E_SYNTAX, "" },
		{ "no id", HB_SPAN("v=STSv1;"), HB_E_SYNTAX, "" },
		{ "other field only", HB_SPAN("v=STSv1; a=b;"), HB_E_SYNTAX, "" },
		{ "unknown fields", HB_SPAN("v=STSv1; a=b; id=7; c.d-e_f=!<>~;"), 0, "7" },
		{ "unknown before id", HB_SPAN("v=STSv1; idx=9; id=7"), 0, "7" },
		{ "id in capitals is unknown", HB_SPAN("v=STSv1; ID=7;"), HB_E_SYNTAX, "" },
		{ "field without value", HB_SPAN("v=STSv1; id=7; a;"), HB_E_SYNTAX, "" },
		{ "field with empty value", HB_SPAN("v=STSv1; id=7; a=;"), HB_E_SYNTAX, "" },
		{ "value with =", HB_SPAN("v=STSv1; id=7; a=b=c;"), HB_E_SYNTAX, "" },
		{ "bad field name", HB_SPAN("v=STSv1; id=7; -a=b;"), HB_E_SYNTAX, "" },
		{ "field name of 33", HB_SPAN("v=STSv1; id=7; a12345678901234567890123456789012=b;"), HB_E_SYNTAX, "" },
		{ "two delimiters", HB_SPAN("v=STSv1;; id=7;"), HB_E_SYNTAX, "" },
		{ "blank at the end", HB_SPAN("v=STSv1; id=7 "), HB_E_SYNTAX, "" },
		{ "id twice", HB_SPAN("v=STSv1; id=7; id=8;"), HB_E_SYNTAX, "" },
		{ "line end", HB_SPAN("v=STSv1; id=7;\n"), HB_E_SYNTAX, "" },
		{ "version first", HB_SPAN("id=7; v=STSv1;"), HB_E_NOTFOUND, "" },
		{ "version with case", HB_SPAN("v=stsv1; id=7;"), HB_E_NOTFOUND, "" },
		{ "version 2", HB_SPAN("v=STSv2; id=7;"), HB_E_NOTFOUND, "" },
		{ "version 10", HB_SPAN("v=STSv10; id=7;"), HB_E_NOTFOUND, "" },
		{ "version alone", HB_SPAN("v=STSv1"), HB_E_NOTFOUND, "" },
		{ "blank after the version", HB_SPAN("v=STSv1 ; id=7;"), HB_E_NOTFOUND, "" },
		{ "all that a value may hold", HB_SPAN("v=STSv1;a=!:<>~;id=7"), 0, "7" },
		{ "name of 32", HB_SPAN("v=STSv1; id=7; a1234567890123456789012345678901=b"), 0, "7" },
		{ "blank at the start", HB_SPAN(" v=STSv1; id=7;"), HB_E_NOTFOUND, "" },
		{ "other record", HB_SPAN("v=spf1 -all"), HB_E_NOTFOUND, "" },
		{ "one byte", HB_SPAN("v"), HB_E_NOTFOUND, "" },
		{ "empty", HB_SPAN(""), HB_E_NOTFOUND, "" },
		/* clang-format on */
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span in = at_page_end(rows[i].in), id;
		int r = sts_txt_parse(in, &id);

		print_message("%s\n", rows[i].name);
		assert_int_equal(r, rows[i].want);
		if (r == 0)
			assert_span(id, rows[i].id);
		for (size_t cut = 0; cut < in.n; cut++)
			if (sts_txt_parse(
				at_page_end(hb_span_head(in, cut)), &id) == 0)
				assert_in_range(id.n, 1, STS_ID_MAX);
	}
}

static void
sts04_exactly_one_record(void **state)
{
	static const struct {
		const char *name;
		struct hb_span records[3];
		size_t n;
		int want;
	} rows[] = {
		/* clang-format off */
		{ "none", { HB_SPAN("") }, 0, HB_E_NOTFOUND },
		{ "one", { HB_SPAN("v=STSv1; id=7;") }, 1, 0 },
		{ "one among others", { HB_SPAN("v=spf1 -all"), HB_SPAN("v=STSv1; id=7;"),
		    HB_SPAN("v=STSv2; id=8;") }, 3, 0 },
		{ "two", { HB_SPAN("v=STSv1; id=7;"), HB_SPAN("v=STSv1; id=7;") }, 2, HB_E_SYNTAX },
		{ "one good, one bad", { HB_SPAN("v=STSv1; id=7;"), HB_SPAN("v=STSv1; id=") }, 2, HB_E_SYNTAX },
		{ "one bad, one good", { HB_SPAN("v=STSv1; x"), HB_SPAN("v=STSv1; id=7;") }, 2, HB_E_SYNTAX },
		{ "one bad", { HB_SPAN("v=STSv1;") }, 1, HB_E_SYNTAX },
		{ "others only", { HB_SPAN("v=spf1 -all"), HB_SPAN("") }, 2, HB_E_NOTFOUND },
		/* clang-format on */
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_span id;
		int r = sts_txt_pick(rows[i].records, rows[i].n, &id);

		print_message("%s\n", rows[i].name);
		assert_int_equal(r, rows[i].want);
		if (r == 0)
			assert_span(id, "7");
	}
}

/* Strings of one record come joined; records are never joined: two halves
 * are two records of other kinds. */
static void
sts03_records_are_not_joined(void **state)
{
	const struct hb_span halves[] = { HB_SPAN("v=STSv1"),
		HB_SPAN("; id=7;") };
	struct hb_span id;

	assert_int_equal(sts_txt_pick(halves, 2, &id), HB_E_NOTFOUND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sts05_record_grammar),
		cmocka_unit_test(sts04_exactly_one_record),
		cmocka_unit_test(sts03_records_are_not_joined),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
