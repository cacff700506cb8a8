/* The list of mail hosts out of DNS answers: SMTP-09, STS-31, DANE-01. */
#include "unit.h"

#include "common/proto/here.h"
#include "delivery/smtp/mx.h"

static uint32_t
first(uint32_t n)
{
	return 0;
}

static char own_name[] = "me.test";
static struct hb_listen own_listen = { .addr = { 4, { 10, 0, 0, 1 }, 25 } };
static const struct hb_conf self = { .hostname = own_name,
	.listens = { &own_listen, 1 } };

struct mx_row {
	const char *name;
	enum hb_dns_status status;
	const char *mx;	  /* "PREF NAME ADDR" ...; ADDR: number, - or ? */
	const char *want; /* names in order, or the reason */
	enum hb_result result;
};

// clang-format off
static const struct mx_row rows[] = {
	{ "STS-31 sorted", HB_DNS_OK, "20 b.test 2 10 a.test 3", "a.test b.test", HB_RESULT_OK },
	{ "equal ones in random order", HB_DNS_OK, "10 a.test 2 10 b.test 3 10 c.test 4",
	  "b.test c.test a.test", HB_RESULT_OK },
	{ "twice the same", HB_DNS_OK, "10 a.test 2 20 A.test 3", "a.test", HB_RESULT_OK },
	{ "null MX, RFC 7505", HB_DNS_OK, "0 . -", "null-mx", HB_RESULT_FAIL },
	{ "a root among others is dropped", HB_DNS_OK, "0 . - 10 a.test 2", "a.test", HB_RESULT_OK },
	{ "no such domain", HB_DNS_NXDOMAIN, "", "dns-no-domain", HB_RESULT_FAIL },
	{ "no MX: the domain itself", HB_DNS_NODATA, "0 dom.test 2", "dom.test", HB_RESULT_OK },
	{ "DANE-01 DNS trouble", HB_DNS_TEMP, "", "dns-temporary", HB_RESULT_DEFER },
	{ "STS-31 self by name, and worse", HB_DNS_OK, "10 a.test 2 20 me.test 3 30 c.test 4", "a.test", HB_RESULT_OK },
	{ "STS-31 self by address, and equal", HB_DNS_OK, "10 a.test 2 20 b.test 3 20 c.test 1", "a.test", HB_RESULT_OK },
	{ "STS-31 self is best", HB_DNS_OK, "10 me.test 1 20 b.test 2", "mx-self", HB_RESULT_FAIL },
	{ "DANE-05 none has an address", HB_DNS_OK, "10 a.test - 20 b.test -", "dns-no-address", HB_RESULT_FAIL },
	{ "DANE-01 none is known now", HB_DNS_OK, "10 a.test - 20 b.test ?", "dns-temporary", HB_RESULT_DEFER },
	{ "DANE-01 one has an address", HB_DNS_OK, "10 a.test ? 20 b.test 2", "b.test", HB_RESULT_OK },
	{ "not a host name", HB_DNS_OK, "10 a\\032b.test 2", "dns-no-address", HB_RESULT_FAIL },
};
// clang-format on

struct wanted_mx {
	struct hb_dns_rr rr[8];
	char addr[8];
	struct hb_span name[8];
	size_t n;
};

static void
read_row(const struct mx_row *row, struct wanted_mx *w)
{
	struct hb_span rest = hb_span_str(row->mx), pref, name;
	uint64_t v;

	memset(w, 0, sizeof(*w));
	while ((pref = hb_span_word(&rest)).n > 0) {
		name = hb_span_word(&rest);
		assert_int_equal(hb_span_u64(pref, 65535, &v), 0);
		w->name[w->n] = name;
		if (hb_span_eq(name, HB_SPAN(".")))
			name.n = 0;
		w->rr[w->n] = (struct hb_dns_rr){ .type = HB_DNS_MX,
			.preference = (uint16_t)v, .name = name };
		w->addr[w->n++] = (char)hb_span_word(&rest).p[0];
	}
}

static void
give_addresses(struct dlv_mx *m, const struct wanted_mx *w)
{
	for (size_t i = 0; i < m->n; i++) {
		for (size_t k = 0; k < w->n; k++) {
			unsigned char b[4] = { 10, 0, 0,
				(unsigned char)(w->addr[k] - '0') };
			struct hb_dns_rr rr = { .type = HB_DNS_A,
				.data = { b, 4 } };
			struct hb_dns_answer a = { .status = HB_DNS_OK,
				.rr = &rr, .n = 1 };

			if (!hb_span_eq_nocase(w->name[k],
				hb_span_str(m->hosts[i].name)))
				continue;
			if (w->addr[k] == '?' || w->addr[k] == '-')
				a = (struct hb_dns_answer){ .status =
					w->addr[k] == '?' ? HB_DNS_TEMP
							  : HB_DNS_NODATA };
			dlv_mx_address(m, i, &a, 25);
			break;
		}
	}
}

static void
test_SMTP_09_hosts(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_arena *arena = hb_arena_new();
		struct hb_buf got = HB_BUF_INIT(0);
		struct wanted_mx w;
		struct hb_dns_answer a = { .status = rows[i].status };
		struct dlv_mx m;

		print_message("%s\n", rows[i].name);
		read_row(&rows[i], &w);
		a.rr = w.rr;
		a.n = a.status == HB_DNS_OK ? w.n : 0;
		dlv_mx_begin(&m, HB_SPAN("dom.test"), &a, first, arena);
		give_addresses(&m, &w);
		dlv_mx_finish(&m, &self, DLV_OWN_MX);
		assert_int_equal(m.result, rows[i].result);
		if (m.result != HB_RESULT_OK)
			hb_buf_adds(&got, hb_reason_word(m.reason));
		for (size_t k = 0; k < m.n; k++)
			hb_buf_addf(&got, "%s%s", k > 0 ? " " : "",
			    m.hosts[k].name);
		assert_span(hb_buf_span(&got), rows[i].want);
		hb_buf_free(&got);
		hb_arena_free(&arena);
	}
}

/* Two families alternate; no more than the bound is kept. */
static void
test_addresses(void **state)
{
	struct hb_arena *arena = hb_arena_new();
	unsigned char b[16] = { 0 };
	struct hb_dns_rr v4[20], v6[20];
	struct hb_dns_answer a = { .status = HB_DNS_OK, .rr = v4, .n = 20 };
	struct dlv_mx m;

	for (size_t i = 0; i < 20; i++) {
		v4[i] = (struct hb_dns_rr){ .type = HB_DNS_A,
			.data = { b, 4 } };
		v6[i] = (struct hb_dns_rr){ .type = HB_DNS_AAAA,
			.data = { b, 16 } };
	}
	dlv_mx_single(&m, HB_SPAN("a.test"), arena);
	a.n = 2;
	dlv_mx_address(&m, 0, &a, 25);
	a.rr = v6;
	dlv_mx_address(&m, 0, &a, 25);
	assert_int_equal(m.hosts[0].naddr, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(m.hosts[0].addr[i].family, i % 2 ? 4 : 6);
	a.n = 20;
	dlv_mx_address(&m, 0, &a, 25);
	assert_int_equal(m.hosts[0].naddr, HB_MAX_HOST_ADDRESSES);
	hb_arena_free(&arena);
}

/* What DNS says of the MX answer itself is kept for DANE: that there are no
 * records, too. */
static void
test_DANE_03_04_records_as_they_came(void **state)
{
	static const enum hb_dns_status statuses[] = { HB_DNS_OK,
		HB_DNS_NODATA };
	struct hb_arena *arena = hb_arena_new();
	struct hb_dns_rr rr = { .type = HB_DNS_MX,
		.name = HB_SPAN("a.test") };
	struct dlv_mx m;

	for (unsigned i = 0; i < 4; i++) {
		struct hb_dns_answer a = { .status = statuses[i % 2],
			.ad = i / 2 == 1, .aliased = true, .rr = &rr,
			.n = 1 - i % 2, .canonical = HB_SPAN("real.test") };

		dlv_mx_begin(&m, HB_SPAN("dom.test"), &a, first, arena);
		assert_int_equal(m.n, 1);
		assert_true(m.records.known);
		assert_int_equal(m.records.ad, i / 2);
		assert_string_equal(m.records.canonical, "real.test");
	}
	dlv_mx_single(&m, HB_SPAN("smart.test"), arena);
	assert_false(m.records.known);
	hb_arena_free(&arena);
}

/* One of two hosts, or one family of its addresses, is not known for now. */
static void
test_RTLS_06_a_list_with_a_hole_is_incomplete(void **state)
{
	struct hb_arena *arena = hb_arena_new();
	unsigned char ip[4] = { 10, 0, 0, 2 };
	struct hb_dns_rr rr[2] = { { .type = HB_DNS_MX,
		.name = HB_SPAN("a.test") }, { .type = HB_DNS_MX,
		.name = HB_SPAN("b.test") } };
	struct hb_dns_rr addr = { .type = HB_DNS_A, .data = { ip, 4 } };
	struct hb_dns_answer a = { .status = HB_DNS_OK, .rr = rr, .n = 2 },
		found = { .status = HB_DNS_OK, .rr = &addr, .n = 1 },
		none = { .status = HB_DNS_NODATA },
		lost = { .status = HB_DNS_TEMP };
	struct dlv_mx m;

	for (int hole = 0; hole < 2; hole++) {
		dlv_mx_begin(&m, HB_SPAN("dom.test"), &a, first, arena);
		dlv_mx_address(&m, 0, &found, 25);
		dlv_mx_address(&m, 1, hole ? &lost : &none, 25);
		dlv_mx_finish(&m, &self, DLV_OWN_HOP);
		assert_int_equal(m.result, HB_RESULT_OK);
		assert_int_equal(m.n, 1);
		assert_int_equal(m.listed, 2);
		assert_int_equal(m.incomplete, hole);
	}
	hb_arena_free(&arena);
}

/* MX records of many hosts, M->n of them wanted. */
static void
begin_many(struct dlv_mx *m, size_t n, struct hb_arena *arena)
{
	struct hb_dns_rr rr[HB_MAX_MX_LISTED + 1];
	char names[HB_MAX_MX_LISTED + 1][16];
	struct hb_dns_answer a = { .status = HB_DNS_OK, .rr = rr, .n = n };

	for (size_t i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "m%zu.test", i);
		rr[i] = (struct hb_dns_rr){ .type = HB_DNS_MX,
			.preference = (uint16_t)i,
			.name = hb_span_str(names[i]) };
	}
	dlv_mx_begin(m, HB_SPAN("dom.test"), &a, first, arena);
}

/* Hosts beyond those that are looked at were not judged. */
static void
test_RTLS_06_a_list_that_was_cut_is_incomplete(void **state)
{
	struct hb_arena *arena = hb_arena_new();
	struct dlv_mx m;

	for (size_t n = HB_MAX_MX_LISTED; n <= HB_MAX_MX_LISTED + 1; n++) {
		begin_many(&m, n, arena);
		assert_int_equal(m.n, HB_MAX_MX_HOSTS);
		assert_int_equal(m.known, HB_MAX_MX_LISTED);
		assert_int_equal(m.incomplete, n > HB_MAX_MX_LISTED);
	}
	hb_arena_free(&arena);
}

/* Only hosts from FROM on have an address.  How many rounds it takes. */
static unsigned
look_up(struct dlv_mx *m, size_t from)
{
	const struct hb_conf nobody = { .hostname = NULL };
	unsigned char ip[4] = { 10, 0, 0, 2 };
	struct hb_dns_rr addr = { .type = HB_DNS_A, .data = { ip, 4 } };
	struct hb_dns_answer found = { .status = HB_DNS_OK, .rr = &addr,
		.n = 1 }, none = { .status = HB_DNS_NODATA };
	unsigned rounds = 0;
	size_t i = 0;

	do {
		rounds++;
		for (; i < m->n; i++)
			dlv_mx_address(m, i, i >= from ? &found : &none, 25);
	} while (dlv_mx_more(m));
	dlv_mx_finish(m, &nobody, DLV_OWN_MX);
	return rounds;
}

static void
test_F_28_hosts_without_address_do_not_count(void **state)
{
	static const struct {
		size_t listed, from;
		unsigned rounds;
		size_t n;
		enum hb_result result;
		bool incomplete;
	} cases[] = {
		{ 50, 0, 1, 50, HB_RESULT_OK, false },
		{ 51, 0, 1, 50, HB_RESULT_OK, true },
		{ 70, 50, 2, 20, HB_RESULT_OK, false },
		{ 70, 49, 2, 21, HB_RESULT_OK, false },
		{ 200, 120, 4, 50, HB_RESULT_OK, true },
		{ 70, 70, 2, 0, HB_RESULT_FAIL, false },
		{ 200, 200, 4, 0, HB_RESULT_FAIL, false },
		/* bounded; and no trouble of DNS either */
		{ 201, 201, 4, 0, HB_RESULT_DEFER, true },
	};
	struct hb_arena *arena = hb_arena_new();
	struct dlv_mx m;

	for (size_t i = 0; i < HB_ARRAY_LEN(cases); i++) {
		begin_many(&m, cases[i].listed, arena);
		assert_int_equal(look_up(&m, cases[i].from), cases[i].rounds);
		assert_int_equal(m.n, cases[i].n);
		assert_int_equal(m.result, cases[i].result);
		assert_int_equal(m.incomplete, cases[i].incomplete);
		if (m.n == 0)
			assert_int_equal(m.reason, HB_REASON_DNS_NO_ADDRESS);
	}
	hb_arena_free(&arena);
}

struct own_row {
	const char *name, *listen;
	enum dlv_own own;
	const char *hosts; /* "PREF NAME ADDR,ADDR ..." */
	const char *want;  /* "NAME=ADDR,ADDR ...", or the reason */
};

// clang-format off
static const struct own_row own_rows[] = {
	{ "by an interface", "*:25", DLV_OWN_MX,
	  "10 best.test 192.0.2.7 20 next.test 192.0.2.9", "mx-self" },
	{ "a worse one by an interface", "*:25", DLV_OWN_MX,
	  "10 best.test 192.0.2.9 20 we.test 2001:db8::7 30 c.test 192.0.2.10",
	  "best.test=192.0.2.9" },
	{ "unspecified", "127.0.0.1:25", DLV_OWN_MX, "10 a.test 0.0.0.0", "mx-self" },
	{ "unspecified IPv6", "127.0.0.1:25", DLV_OWN_MX, "10 a.test ::", "mx-self" },
	{ "unspecified, on another port", "127.0.0.1:2525", DLV_OWN_MX,
	  "10 a.test 0.0.0.0", "mx-self" },
	{ "own and mapped", "127.0.0.1:25", DLV_OWN_MX,
	  "10 a.test ::ffff:127.0.0.1", "mx-self" },
	{ "mapped, and another's", "127.0.0.1:25", DLV_OWN_MX,
	  "10 a.test ::ffff:192.0.2.9,192.0.2.10", "a.test=192.0.2.10" },
	{ "mapped alone", "127.0.0.1:25", DLV_OWN_MX,
	  "10 a.test ::ffff:192.0.2.9", "dns-no-address" },
	{ "loopback, listening everywhere", "*:25", DLV_OWN_MX,
	  "10 a.test 127.3.4.5", "mx-self" },
	{ "loopback of another server", "127.0.0.1:25", DLV_OWN_MX,
	  "10 a.test 127.3.4.5", "a.test=127.3.4.5" },
	{ "another port of ours", "*:587", DLV_OWN_MX,
	  "10 a.test 192.0.2.7", "a.test=192.0.2.7" },
	{ "localhost", "*:587", DLV_OWN_MX, "10 localhost 127.0.0.1", "mx-self" },
	{ "a smarthost that is ourselves", "*:25", DLV_OWN_HOP,
	  "0 hub.test 192.0.2.7", "mx-self" },
	{ "another server under our name", "127.0.0.1:587", DLV_OWN_HOP,
	  "0 me.test 127.0.0.1", "me.test=127.0.0.1" },
};
// clang-format on

static void
add_own_addresses(struct dlv_mx *m, size_t i, struct hb_span list)
{
	while (list.n > 0) {
		struct hb_span one = hb_span_cut(&list, ',');
		unsigned char b[16] = { [10] = 0xff, [11] = 0xff };
		struct hb_netaddr a;
		struct hb_dns_rr rr = { .type = HB_DNS_A, .data = { b, 4 } };
		struct hb_dns_answer answer = { .status = HB_DNS_OK,
			.rr = &rr, .n = 1 };

		assert_int_equal(hb_netaddr_parse(one, &a), 0);
		memcpy(b, a.b, a.family == 4 ? 4 : 16);
		if (hb_span_find(one, ':') < one.n) {
			rr = (struct hb_dns_rr){ .type = HB_DNS_AAAA,
				.data = { b, 16 } };
			if (a.family == 4) { /* mapped */
				memset(b, 0, 16);
				memset(b + 10, 0xff, 2);
				memcpy(b + 12, a.b, 4);
			}
		}
		dlv_mx_address(m, i, &answer, 25);
	}
}

static void
show_hosts(const struct dlv_mx *m, struct hb_buf *got)
{
	char text[HB_NETADDR_TEXT];

	if (m->result != HB_RESULT_OK)
		hb_buf_adds(got, hb_reason_word(m->reason));
	for (size_t i = 0; i < m->n; i++) {
		hb_buf_addf(got, "%s%s=", i > 0 ? " " : "", m->hosts[i].name);
		for (size_t k = 0; k < m->hosts[i].naddr; k++) {
			hb_netaddr_format(&m->hosts[i].addr[k], text);
			hb_buf_addf(got, "%s%s", k > 0 ? "," : "", text);
		}
	}
}

static void
run_own_row(const struct own_row *r)
{
	struct hb_listen l = { .any = r->listen[0] == '*' };
	struct hb_conf c = { .arena = hb_arena_new(), .hostname = own_name,
		.listens = { &l, 1 } };
	struct hb_span rest = hb_span_str(r->hosts), pref, addr[4];
	struct hb_dns_rr rr[4];
	struct hb_dns_answer a = { .status = HB_DNS_OK, .rr = rr };
	struct hb_buf got = HB_BUF_INIT(0);
	struct dlv_mx m;
	uint64_t v;

	assert_int_equal(hb_netaddr_parse_port(hb_span_str(r->listen),
	    &l.addr), 0);
	hb_here_set_interfaces(&c, HB_SPAN("192.0.2.7\n2001:db8::7\n"));
	while ((pref = hb_span_word(&rest)).n > 0) {
		assert_int_equal(hb_span_u64(pref, 65535, &v), 0);
		rr[a.n] = (struct hb_dns_rr){ .type = HB_DNS_MX,
			.preference = (uint16_t)v,
			.name = hb_span_word(&rest) };
		addr[a.n++] = hb_span_word(&rest);
	}
	dlv_mx_begin(&m, HB_SPAN("dom.test"), &a, first, c.arena);
	for (size_t i = 0; i < a.n; i++)
		add_own_addresses(&m, i, addr[i]);
	dlv_mx_finish(&m, &c, r->own);
	show_hosts(&m, &got);
	assert_span(hb_buf_span(&got), r->want);
	hb_buf_free(&got);
	hb_arena_free(&c.arena);
}

static void
test_F_2_own_addresses(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(own_rows); i++) {
		print_message("%s\n", own_rows[i].name);
		run_own_row(&own_rows[i]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_SMTP_09_hosts),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_F_2_own_addresses),
		cmocka_unit_test(test_DANE_03_04_records_as_they_came),
		cmocka_unit_test(
		    test_RTLS_06_a_list_with_a_hole_is_incomplete),
		cmocka_unit_test(
		    test_RTLS_06_a_list_that_was_cut_is_incomplete),
		cmocka_unit_test(test_F_28_hosts_without_address_do_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
