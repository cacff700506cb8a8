/* sendmail's access table: its values, and which entry decides. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "queue/router/access.h"

/* --- values --- */

static const char *const kinds[] = { "ok", "relay", "reject", "discard",
	"skip", "quarantine", "error" };

static void
test_M_10_spellings_of_values(void **state)
{
	static const struct {
		const char *value, *kind;
		unsigned code;
		const char *status, *text;
	} rows[] = {
		{ "OK", "ok", 0, "", "" },
		{ " \t OK\r", "ok", 0, "", "" },
		{ "ok", "ok", 0, "", "" },
		{ "RELAY", "relay", 0, "", "" },
		{ "reject", "reject", 0, "", "" },
		{ "Discard", "discard", 0, "", "" },
		{ "SKIP", "skip", 0, "", "" },
		{ "QUARANTINE:odd mail", "quarantine", 0, "", "odd mail" },
		{ "ERROR:5.7.1:550 no %s [x] \"y\" z", "error", 550, "5.7.1",
		    "no %s [x] \"y\" z" },
		{ "ERROR:\"550 no\"", "error", 550, "", "no" },
		{ "ERROR:550 no", "error", 550, "", "no" },
		{ "error:550 no", "error", 550, "", "no" },
		{ "ERROR:5.7.1:\"550 no: never\"", "error", 550, "5.7.1",
		    "no: never" },
		{ "ERROR:4.2.1:busy", "error", 451, "4.2.1", "busy" },
		{ "ERROR:go away", "error", 550, "", "go away" },
		{ "550 no", "error", 550, "", "no" },
		{ "\"550 no\"", "error", 550, "", "no" },
		{ "550 5.7.2 no", "error", 550, "5.7.2", "no" },
		{ "451 4.3.2 later\r", "error", 451, "4.3.2", "later" },
		{ "ERROR:5.7.1:450 later", "error", 450, "", "later" },
		{ "450 5.7.1 later", "error", 450, "", "5.7.1 later" },
		{ "550", "error", 550, "", "" },
		/* nobody knows these */
		{ "", NULL, 0, "", "" },
		{ "OKAY", NULL, 0, "", "" },
		{ "O", NULL, 0, "", "" },
		{ "REJECTED", NULL, 0, "", "" },
		{ "250 ok", NULL, 0, "", "" },
		{ "600 x", NULL, 0, "", "" },
		{ "399 x", NULL, 0, "", "" },
		{ "55 x", NULL, 0, "", "" },
		{ "550x", NULL, 0, "", "" },
		{ "ERROR:250 ok", NULL, 0, "", "" },
		{ "QUARANTINE:", NULL, 0, "", "" },
		{ "QUARANTINE", NULL, 0, "", "" },
		{ "QUARANTINE:a\001b", NULL, 0, "", "" },
		{ "5.7.1 no", NULL, 0, "", "" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_access_value v;
		int r = hb_access_parse(hb_span_str(rows[i].value), &v);

		if ((rows[i].kind != NULL) != (r == 0))
			fail_msg("%s: %d", rows[i].value, r);
		if (r < 0)
			continue;
		assert_string_equal(kinds[v.kind], rows[i].kind);
		assert_int_equal(v.code, rows[i].code);
		assert_span(v.status, rows[i].status);
		assert_span(v.text, rows[i].text);
	}
}

static void
test_M_13_values_of_tls_tags(void **state)
{
	static const struct {
		const char *value;
		bool good, verify, perm;
		unsigned bits;
	} rows[] = {
		{ "VERIFY", true, true, false, 0 },
		{ "verify:112", true, true, false, 112 },
		{ "ENCR:256", true, false, false, 256 },
		{ "TEMP+ENCR:128", true, false, false, 128 },
		{ "PERM+VERIFY", true, true, true, 0 },
		{ "PERM+ENCR:128\r", true, false, true, 128 },
		{ "", false, false, false, 0 },
		{ "ENCR", false, false, false, 0 },
		{ "ENCR:", false, false, false, 0 },
		{ "ENCR:-1", false, false, false, 0 },
		{ "ENCR:4097", false, false, false, 0 },
		{ "VERIFYING", false, false, false, 0 },
		{ "PERM+", false, false, false, 0 },
		{ "OK", false, false, false, 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_access_tls t;
		int r = hb_access_parse_tls(hb_span_str(rows[i].value), &t);

		if (rows[i].good != (r == 0))
			fail_msg("%s: %d", rows[i].value, r);
		if (r < 0)
			continue;
		assert_int_equal(t.verify, rows[i].verify);
		assert_int_equal(t.perm, rows[i].perm);
		assert_int_equal(t.bits, rows[i].bits);
	}
}

static void
test_M_13_demands_that_cannot_be_made_are_mistakes(void **state)
{
	static const struct {
		const char *key, *value;
		enum hb_access_fault fault;
	} rows[] = {
		{ "x.test", "REJECT", HB_ACCESS_GOOD },
		{ "x.test", "NO", HB_ACCESS_UNKNOWN },
		{ "2001:db8::1", "OK", HB_ACCESS_GOOD },
		{ "connect:x.test", "nope", HB_ACCESS_UNKNOWN },
		{ "TLS_Clt:x.test", "ENCR:128", HB_ACCESS_GOOD },
		{ "TLS_Clt:x.test", "VERIFY", HB_ACCESS_UNMET },
		{ "tls_clt:x.test", "REJECT", HB_ACCESS_UNKNOWN },
		{ "TLS_Srv:x.test", "ENCR:128", HB_ACCESS_UNMET },
		{ "TLS_Rcpt:a@x.test", "VERIFY", HB_ACCESS_UNMET },
		{ "Try_TLS:x.test", "NO", HB_ACCESS_IGNORED },
		{ "CERTIssuer:/CN=x", "RELAY", HB_ACCESS_IGNORED },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_int_equal(hb_access_fault(hb_span_str(rows[i].key),
		    hb_span_str(rows[i].value)), rows[i].fault);
}

/* --- which entry decides --- */

struct entry {
	const char *key, *value;
};

enum { ENTRIES = 4 };

static const struct entry *
find(const struct entry *table, struct hb_span key)
{
	for (size_t i = 0; i < ENTRIES && table[i].key != NULL; i++)
		if (hb_span_eq_nocase(key, hb_span_str(table[i].key)))
			return &table[i];
	return NULL;
}

/* What TABLE says, in a word or two. */
static void
ask(const struct entry *table, enum rt_access_check check,
    const struct ipc_check *q, struct hb_buf *said)
{
	static const char *const actions[] = { "temp", "pass", "no",
		"discard" };
	struct rt_access a = { .key = HB_BUF_INIT(0) };
	struct rt_access_said s;
	const struct entry *e;
	struct hb_span key;

	hb_buf_clear(said);
	rt_access_begin(&a, check, q);
	while (rt_access_key(&a, &key)) {
		e = find(table, key);
		if (e == NULL || !rt_access_found(&a, q, hb_span_str(e->value),
		    &s))
			continue;
		hb_buf_adds(said, s.relay ? "relay" : actions[s.action]);
		if (s.action == HB_ACTION_REJECT ||
		    s.action == HB_ACTION_TEMPFAIL) {
			hb_buf_addf(said, " %u ", s.code);
			hb_buf_add(said, s.status);
		}
		if (s.hold.n > 0)
			hb_buf_adds(said, " held");
		break;
	}
	rt_access_free(&a);
}

struct row {
	struct entry table[ENTRIES];
	const char *what, *said; /* WHAT: of the check */
};

#define CHECK_ROWS(rows, check, ...)                                           \
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {                      \
		struct hb_buf said = HB_BUF_INIT(0);                           \
		struct ipc_check q = { __VA_ARGS__ };                          \
                                                                               \
		ask(rows[i].table, (check), &q, &said);                        \
		if (strcmp(hb_buf_cstr(&said), rows[i].said) != 0)             \
			fail_msg("row %zu: %s", i, hb_buf_cstr(&said));        \
		hb_buf_free(&said);                                            \
	}

static void
test_M_7_the_name_comes_before_the_address(void **state)
{
	static const struct row rows[] = {
		{ { { NULL, NULL } }, "192.0.2.7", "" },
		{ { { "Connect:mx.a.test", "REJECT" } }, "192.0.2.7",
		    "no 550 5.7.1" },
		{ { { "mx.a.test", "REJECT" } }, "192.0.2.7", "no 550 5.7.1" },
		{ { { "connect:A.test", "OK" }, { "192.0.2.7", "REJECT" } },
		    "192.0.2.7", "pass" },
		{ { { "test", "OK" }, { "Connect:192.0.2.7", "REJECT" } },
		    "192.0.2.7", "pass" },
		{ { { "mx.a.test", "OK" }, { "Connect:a.test", "REJECT" } },
		    "192.0.2.7", "pass" },
		{ { { "a.test", "OK" }, { "Connect:a.test", "REJECT" } },
		    "192.0.2.7", "no 550 5.7.1" },
		{ { { "From:a.test", "REJECT" }, { "To:a.test", "REJECT" } },
		    "192.0.2.7", "" },
		{ { { "a.test", "SKIP" }, { "test", "REJECT" },
		      { "192.0.2", "DISCARD" } }, "192.0.2.7", "discard" },
	};

	CHECK_ROWS(rows, RT_ACCESS_CLIENT, .client = hb_span_str(rows[i].what),
	    .client_name = HB_SPAN("mx.a.test"), .helo = HB_SPAN("evil.test"));
}

static void
test_M_8_without_a_name_only_the_address_counts(void **state)
{
	static const struct row rows[] = {
		{ { { "mx.a.test", "REJECT" } }, "192.0.2.7", "" },
		{ { { "192.0.2.7", "REJECT" } }, "192.0.2.7", "no 550 5.7.1" },
		{ { { "Connect:192.0.2", "REJECT" } }, "192.0.2.7",
		    "no 550 5.7.1" },
		{ { { "192", "451 4.3.2 later" } }, "192.0.2.7",
		    "temp 451 4.3.2" },
		{ { { "192.0.2.1", "REJECT" } }, "192.0.2.11", "" },
		{ { { "192.0.2.11", "OK" }, { "192.0.2", "REJECT" } },
		    "192.0.2.11", "pass" },
		{ { { "192.0.2.128/25", "REJECT" } }, "192.0.2.200",
		    "no 550 5.7.1" },
		{ { { "192.0.2.128/25", "REJECT" } }, "192.0.2.7", "" },
		{ { { "0.0.0.0/0", "QUARANTINE:x" } }, "192.0.2.7",
		    "pass held" },
		{ { { "192.0.2.0/24", "OK" }, { "192.0.0.0/16", "REJECT" } },
		    "192.0.2.7", "pass" },
		{ { { "IPv6:2001:db8:0:0:0:0:0:1", "REJECT" } }, "2001:db8::1",
		    "no 550 5.7.1" },
		{ { { "2001:db8::1", "REJECT" } }, "2001:db8::1",
		    "no 550 5.7.1" },
		{ { { "Connect:IPv6:2001:DB8", "REJECT" } }, "2001:db8:5::1",
		    "no 550 5.7.1" },
		{ { { "2001:db8::", "REJECT" } }, "2001:db8:5::1",
		    "no 550 5.7.1" },
		{ { { "2001:db8:4000::/34", "REJECT" } }, "2001:db8:5fff::1",
		    "no 550 5.7.1" },
		{ { { "2001:db8:5:0", "OK" }, { "2001:db8", "REJECT" } },
		    "2001:db8:5::1", "pass" },
		{ { { "2001:db", "REJECT" } }, "2001:db8::1", "" },
		{ { { "192.0.2", "REJECTED" } }, "192.0.2.7",
		    "temp 451 4.3.5" },
	};

	CHECK_ROWS(rows, RT_ACCESS_CLIENT,
	    .client = hb_span_str(rows[i].what));
}

static void
test_M_7_the_sender_before_its_domain(void **state)
{
	static const struct row rows[] = {
		{ { { "From:u+d@a.test", "OK" }, { "u@a.test", "REJECT" } },
		    "u+d@a.test", "pass" },
		{ { { "u+*@a.test", "OK" }, { "u@a.test", "REJECT" } },
		    "u+d@a.test", "pass" },
		{ { { "u+*@a.test", "REJECT" } }, "u@a.test", "" },
		{ { { "u@a.test", "REJECT" } }, "U+d@a.test",
		    "no 550 5.7.1" },
		{ { { "u@", "REJECT" }, { "From:a.test", "OK" } }, "u@a.test",
		    "no 550 5.7.1" },
		{ { { "From:a.test", "REJECT" } }, "u@sub.a.test",
		    "no 550 5.7.1" },
		{ { { "a.test", "REJECT" } }, "u@xa.test", "" },
		{ { { "a.test", "REJECT" } }, "u@nota.test", "" },
		{ { { "sub.a.test", "OK" }, { "From:a.test", "REJECT" } },
		    "u@sub.a.test", "pass" },
		{ { { "From:a.test", "RELAY" } }, "u@a.test", "pass" },
		{ { { "To:a.test", "REJECT" }, { "Connect:a.test", "REJECT" } },
		    "u@a.test", "" },
		{ { { "a.test", "ERROR:550 no" } }, "u@a.test",
		    "no 550 5.7.1" },
		{ { { "a.test", "" } }, "u@a.test", "temp 451 4.3.5" },
	};

	CHECK_ROWS(rows, RT_ACCESS_SENDER,
	    .sender = hb_span_str(rows[i].what));
}

static void
test_M_7_user_at_is_for_domains_of_this_host(void **state)
{
	static const struct row here[] = {
		{ { { "To:u@", "REJECT" }, { "here.test", "OK" } },
		    "u@here.test", "no 550 5.2.1" },
		{ { { "u@", "DISCARD" } }, "postmaster", "" },
		{ { { "postmaster@", "DISCARD" } }, "postmaster", "discard" },
		{ { { "To:l@here.test", "450 later" } }, "l@here.test",
		    "temp 450 4.7.1" },
	};
	static const struct row far[] = {
		{ { { "To:u@", "REJECT" } }, "u@far.test", "" },
		{ { { "To:u@far.test", "REJECT" }, { "far.test", "OK" } },
		    "u@far.test", "no 550 5.2.1" },
		{ { { "Connect:far.test", "REJECT" } }, "u@far.test", "" },
	};

	CHECK_ROWS(here, RT_ACCESS_USER, .rcpt = hb_span_str(here[i].what));
	CHECK_ROWS(far, RT_ACCESS_RCPT, .rcpt = hb_span_str(far[i].what));
}

static void
test_M_24_another_name_of_the_host_is_another_key(void **state)
{
	static const struct row rows[] = {
		{ { { "To:l@here.test", "REJECT" } }, "l@other.test", "" },
		{ { { "To:l@here.test", "REJECT" } }, "l@sub.here.test", "" },
		{ { { "To:l@", "REJECT" } }, "l@other.test", "no 550 5.2.1" },
	};

	CHECK_ROWS(rows, RT_ACCESS_USER, .rcpt = hb_span_str(rows[i].what));
}

#define PRINT                                                                  \
	"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void
test_M_9_who_may_relay(void **state)
{
	static const struct row rows[] = {
		{ { { NULL, NULL } }, "u@a.test", "" },
		{ { { "To:a.test", "RELAY" } }, "u@a.test", "relay" },
		{ { { "a.test", "RELAY" } }, "u@sub.a.test", "relay" },
		{ { { "To:a.test", "RELAY" } }, "u@xa.test", "" },
		{ { { "To:sub.a.test", "OK" }, { "To:a.test", "RELAY" } },
		    "u@sub.a.test", "" },
		{ { { "From:a.test", "RELAY" } }, "u@b.test", "" },
		{ { { "Connect:192.0.2", "OK" } }, "u@b.test", "" },
		{ { { "Connect:192.0.2", "RELAY" } }, "u@b.test", "relay" },
		{ { { "Connect:c.test", "RELAY" } }, "u@b.test", "relay" },
		{ { { "Connect:c.test", "OK" }, { "192.0.2", "RELAY" } },
		    "u@b.test", "relay" },
		{ { { "CertPrint:" PRINT, "RELAY" } }, "u@b.test", "relay" },
		{ { { PRINT, "RELAY" } }, "u@b.test", "" },
		{ { { "CertPrint:" PRINT, "RELAYED" } }, "u@b.test",
		    "temp 451 4.3.5" },
	};

	CHECK_ROWS(rows, RT_ACCESS_RELAY, .rcpt = hb_span_str(rows[i].what),
	    .client = HB_SPAN("192.0.2.7"), .client_name = HB_SPAN("m.c.test"),
	    .cert = HB_SPAN(PRINT));
}

/* The route leads to another recipient than the one that was allowed; a client
 * that may relay may name any. */
static void
test_M_6_no_routes_to_a_domain_that_is_open(void **state)
{
	static const struct row rows[] = {
		{ { { "To:a.test", "RELAY" } }, "u%b.test@a.test", "" },
		{ { { "a.test", "RELAY" } }, "b.test!u@a.test", "" },
		{ { { "Connect:192.0.2", "RELAY" } }, "u%b.test@a.test",
		    "relay" },
	};

	CHECK_ROWS(rows, RT_ACCESS_RELAY, .rcpt = hb_span_str(rows[i].what),
	    .client = HB_SPAN("192.0.2.7"));
}

static void
test_M_13_demands_on_the_clients_channel(void **state)
{
	static const struct row rows[] = {
		{ { { "TLS_Clt:192.0.2.7", "ENCR:128" } }, "", "" },
		{ { { "TLS_Clt:", "ENCR:128" } }, "tls", "pass" },
		{ { { "TLS_Clt:", "ENCR:129" } }, "tls", "temp 454 4.7.0" },
		{ { { "TLS_Clt:", "ENCR:1" } }, "clear", "temp 454 4.7.0" },
		{ { { "TLS_Clt:", "PERM+ENCR:1" } }, "clear", "no 554 5.7.0" },
		{ { { "TLS_Clt:", "ENCR:0" } }, "clear", "pass" },
		{ { { "TLS_Clt:c.test", "ENCR:0" }, { "TLS_Clt:", "ENCR:1" } },
		    "clear", "pass" },
		{ { { "TLS_Clt:198.51.100", "ENCR:1" } }, "clear",
		    "temp 454 4.7.0" },
		{ { { "TLS_Clt:", "VERIFY" } }, "tls", "temp 454 4.7.0" },
		{ { { "198.51.100", "ENCR:1" } }, "clear", "" },
		{ { { "TLS_Clt:", "REJECT" } }, "tls", "temp 451 4.3.5" },
	};

	CHECK_ROWS(rows, RT_ACCESS_TLS, .client = HB_SPAN("198.51.100.7"),
	    .client_name = HB_SPAN("m.c.test"),
	    .tls = strcmp(rows[i].what, "tls") == 0,
	    .tls_bits = strcmp(rows[i].what, "tls") == 0 ? 128 : 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_M_10_spellings_of_values),
		cmocka_unit_test(test_M_13_values_of_tls_tags),
		cmocka_unit_test(
		    test_M_13_demands_that_cannot_be_made_are_mistakes),
		cmocka_unit_test(test_M_7_the_name_comes_before_the_address),
		cmocka_unit_test(
		    test_M_8_without_a_name_only_the_address_counts),
		cmocka_unit_test(test_M_7_the_sender_before_its_domain),
		cmocka_unit_test(test_M_7_user_at_is_for_domains_of_this_host),
		cmocka_unit_test(
		    test_M_24_another_name_of_the_host_is_another_key),
		cmocka_unit_test(test_M_9_who_may_relay),
		cmocka_unit_test(test_M_6_no_routes_to_a_domain_that_is_open),
		cmocka_unit_test(test_M_13_demands_on_the_clients_channel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
