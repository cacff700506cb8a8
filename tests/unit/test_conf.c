/* hauberk.conf: each word, its mistakes, its canonical text. */
#include "tests/unit/unit.h"

#include <errno.h>

#include "common/base/limits.h"
#include "common/proto/conf.h"
#include "common/proto/endpoint.h"

static int
read_file(void *ctx, const char *path, struct hb_buf *content)
{
	if (strcmp(path, "/etc/mail/more.conf") == 0)
		hb_buf_adds(content, "max-hops 7\nbogus x\n");
	else if (strcmp(path, "/etc/mail/domains") == 0)
		hb_buf_adds(content, "One.example # ours\n\ntwo.example\n");
	else if (strcmp(path, "/etc/mail/loop.conf") == 0)
		hb_buf_adds(content, "include loop.conf\n");
	else if (strcmp(path, "/etc/mail/ring.conf") == 0)
		hb_buf_adds(content, "include ring2.conf\n");
	else if (strcmp(path, "/etc/mail/ring2.conf") == 0)
		hb_buf_adds(content, "\ninclude ring.conf\n");
	else if (strcmp(path, "/etc/mail/empty.conf") == 0)
		return 0;
	else if (strcmp(path, "/etc/mail/retry.conf") == 0)
		hb_buf_adds(content, "\nretry first=2h max=1h\n");
	else if (strcmp(path, "/etc/mail/bad.domains") == 0)
		hb_buf_adds(content, "a.test\n\n-b.test\n");
	else if (strcmp(path, "/etc/mail/mark.conf") == 0)
		hb_buf_adds(content, "\xef\xbb\xbfmax-hops 9\n");
	else if (strcmp(path, "/etc/mail/mark.domains") == 0)
		hb_buf_adds(content, "\xef\xbb\xbfone.test\n");
	else if (strcmp(path, "/etc/mail/fifo") == 0)
		return -EINVAL;
	else
		return -ENOENT;
	return 0;
}

static const char *usual_aliases; /* where the system has some */

static struct hb_conf *
parse(const char *text, struct hb_conf_report *report)
{
	struct hb_conf_source src = { .file = "h.conf", .dir = "/etc/mail",
		.text = at_page_end(hb_span_str(text)), .read = read_file,
		.default_hostname = "host.example",
		.default_aliases = usual_aliases };

	*report = (struct hb_conf_report){ .text = HB_BUF_INIT(0) };
	return hb_conf_parse(&src, report);
}

static struct hb_conf *
parse_good(const char *text)
{
	struct hb_conf_report report;
	struct hb_conf *c = parse(text, &report);

	if (report.errors != 0)
		fail_msg("%.*s", HB_SPAN_ARG(hb_buf_span(&report.text)));
	hb_buf_free(&report.text);
	return c;
}

static void
defaults_are_those_of_the_interface(void **state)
{
	struct hb_conf *c = parse_good("");

	assert_string_equal(c->hostname, "host.example");
	assert_int_equal(c->domains.n, 1);
	assert_int_equal(c->listens.n, 1);
	assert_int_equal(c->listens.v[0].addr.port, 25);
	assert_int_equal(c->relay_from.n, 2);
	assert_true(c->max_message_size == 52428800);
	assert_int_equal(c->max_recipients, 1000);
	assert_int_equal(c->command_timeout, 300000);
	assert_int_equal(c->session_timeout, 0);
	assert_int_equal(c->deliver.kind, HB_DELIVER_MBOX);
	assert_string_equal(c->deliver.arg, "/var/mail/%u");
	assert_true(c->local_users.passwd);
	assert_int_equal(c->recipient_delimiter, '+');
	assert_true(c->mta_sts);
	assert_int_equal(c->trust_ad, HB_TRUST_AUTO);
	assert_null(c->dnssec_probe.name);
	assert_int_equal(c->retry.first_ms, 300000);
	assert_int_equal(c->retry.max_ms, 14400000);
	assert_int_equal(c->lifetime, 432000000);
	assert_int_equal(c->host_memory, 300000);
	assert_int_equal(c->log.kind, HB_LOGTO_SYSLOG);
	assert_false(c->log.given);
	assert_false(c->lab);
	assert_int_equal(c->unbuilt.n, 0);
	hb_conf_free(&c);
}

static void
values_are_read(void **state)
{
	struct hb_conf *c = parse_good("hostname Mail.Example\n"
	    "domain a.example file:domains\n"
	    "listen [::1]:587 submission tls=offer\n"
	    "listen *:465 submissions proxy-protocol=10.0.0.0/8,2001:db8::7\n"
	    "tls-certificate c.pem key=/k.pem\n"
	    "deliver maildir ~/Maildir\nlocal-users users\n"
	    "route .example.com smtp://gw:26 # comment\n"
	    "route x.example error:5.1.1 no such user\n"
	    "tls-policy b.example verify names=m1.example,m2.example "
	    "until=2026-12-31 reason=\"a \\\"b\\\"\"\n"
	    "tls-policy c.example dane\ndowngrade-memory defer\n"
	    "trust-ad yes\ndnssec-probe A.Example bad=b.example\n"
	    "max-rate-per-client 10/1m\nlab on\nsmtp-port 2525\n");

	assert_string_equal(c->hostname, "mail.example");
	assert_int_equal(c->domains.n, 3);
	assert_string_equal(c->domains.v[1], "one.example");
	assert_int_equal(c->listens.n, 2);
	assert_int_equal(c->listens.v[0].tls, HB_DEMAND_OFFER);
	assert_int_equal(c->listens.v[0].auth, HB_DEMAND_REQUIRE);
	assert_true(c->listens.v[1].any);
	assert_int_equal(c->listens.v[0].proxies.n, 0);
	assert_int_equal(c->listens.v[1].proxies.n, 2);
	assert_int_equal(c->listens.v[1].proxies.v[1].bits, 128);
	assert_string_equal(c->certs.v[0].chain, "/etc/mail/c.pem");
	assert_string_equal(c->certs.v[0].key, "/k.pem");
	assert_string_equal(c->deliver.arg, "~/Maildir");
	assert_string_equal(c->local_users.map.arg, "/etc/mail/users");
	assert_string_equal(c->route.v[0].route, "smtp://gw:26");
	assert_string_equal(c->route.v[1].route, "error:5.1.1 no such user");
	assert_int_equal(c->tls_policies.v[0].names.n, 2);
	assert_string_equal(c->tls_policies.v[0].reason, "a \"b\"");
	assert_int_equal(c->tls_policies.v[1].level, HB_TLS_DANE);
	assert_int_equal(c->downgrade_memory, HB_DOWNGRADE_DEFER);
	assert_int_equal(c->trust_ad, HB_TRUST_YES);
	assert_string_equal(c->dnssec_probe.name, "a.example");
	assert_string_equal(c->dnssec_probe.bad, "b.example");
	assert_int_equal(c->max_rate_per_client.count, 10);
	assert_int_equal(c->smtp_port, 2525);
	hb_conf_free(&c);
}

static void
mistakes_name_file_line_and_remedy(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "\nhostnam x", "h.conf:2: unknown word 'hostnam', did you mean 'hostname'?" },
		{ "zebra x", "unknown word 'zebra', see hauberk.conf(5)" },
		{ "hostname", "'hostname' needs a value: NAME" },
		{ "hostname a b", "'hostname' takes one value" },
		{ "hostname a..b", "not a domain name" },
		{ "hostname a\nhostname b", "'hostname' is already given in line 1" },
		{ "hostname \"a", "a double quote is not closed" },
		{ "listen 127.0.0.1 smtp", "not ADDR:PORT" },
		{ "listen 127.0.0.1:25 imap", "not one of: smtp, submission, submissions, lmtp" },
		{ "listen 127.0.0.1:25 smtp tls=on", "not one of: off, offer, require" },
		{ "listen 127.0.0.1:25 smtp proxy-protocol=", "'' is not an address or network" },
		{ "listen 127.0.0.1:25 smtp proxy-protocol=10.0.0.0/8,lb", "'lb' is not an address or network" },
		{ "listen 127.0.0.1:25 smtp proxy-protocol=10.0.0.1/8", "bits behind its prefix" },
		{ "relay-from 10.0.0.0/33", "not an address or network" },
		{ "max-message-size 1", "from 1K to" },
		{ "max-recipients 0", "not a number from 1 to 100000" },
		{ "command-timeout 5x", "not a time such as" },
		{ "retry first=2h max=1h", "first wait above its max" },
		{ "retry 5m", "is not understood" },
		{ "trust-ad on", "not one of: auto, yes, no" },
		{ "dnssec-probe a..b", "not a domain name" },
		{ "deliver mbox /m/%x", "'%x' means nothing here" },
		{ "deliver maildir ~/%", "'%' means nothing here" },
		{ "deliver command /bin/x %a +%s", "'%s' means nothing here" },
		{ "dnssec-probe . bad=..", "not a domain name" },
		{ "dnssec-probe bad=a.example", "is not understood" },
		{ "dnssec-probe a.example b.example", "is not understood" },
		{ "dnssec-probe a.example bad=b.example c", "is not understood" },
		{ "mta-sts maybe", "not one of: on, off" },
		{ "tls-policy a may names=b", "names= goes with level verify" },
		{ "tls-policy a verify until=2026-02-30", "not a date" },
		{ "dmarc enforce", "would weaken" },
		{ "access acc", "would weaken" },
		{ "milter", "" },
		{ "milter /x", "is not unix:/PATH or inet:ADDRESS:PORT" },
		{ "milter unix:x", "is not unix:/PATH or inet:ADDRESS:PORT" },
		{ "milter inet:10.0.0.1", "is not unix:/PATH or inet:ADDRESS:PORT" },
		{ "milter inet:10.0.0.1:0", "is not unix:/PATH or inet:ADDRESS:PORT" },
		{ "milter inet:*:99", "is not unix:/PATH or inet:ADDRESS:PORT" },
		{ "milter inet:filter.example:99", "is not unix:/PATH or inet:ADDRESS:PORT" },
		{ "milter unix:/x timeout=0s", "is no time from 1s to 1h" },
		{ "milter unix:/x timeout=999h", "is no time from 1s to 1h" },
		{ "milter unix:/x on-failure=drop", "not one of: tempfail, accept, reject" },
		{ "milter unix:/x bogus", "is not understood" },
		{ "smarthost ftp://x", "not a destination" },
		{ "smarthost lmtp:/x", "cannot be an LMTP server" },
		{ "smtp-port 26", "needs 'lab on'" },
		{ "policy-address 127.0.0.1", "needs 'lab on'" },
		{ "include nowhere.conf", "cannot read /etc/mail/nowhere.conf" },
		{ "include more.conf", "/etc/mail/more.conf:2: unknown word 'bogus'" },
		{ "include loop.conf", "/etc/mail/loop.conf:1: /etc/mail/loop.conf includes itself" },
		{ "user nobody x", "is not understood" },
		{ "workers smtpd=0", "1 to 64 processes" },
		{ "recipient-delimiter a", "punctuation" },
		{ "log x format=xml", "not one of: text, json" },
		{ "log x level=all", "not one of: error, warn, info, debug" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf_report report;
		struct hb_conf *c = parse(rows[i].text, &report);

		hb_buf_add(&report.text, hb_span("", 1));
		if (report.errors == 0 || strstr((char *)report.text.p,
		    rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].text, report.text.p);
		hb_buf_free(&report.text);
		hb_conf_free(&c);
	}
}

/* What would come to light by a recipient's mail is refused at its line. */
static void
test_S_1_letters_that_do_not_exist_are_refused(void **state)
{
	char many[HB_MAX_TEMPLATE + 15] = "deliver mbox /";
	const struct {
		const char *text, *want;
	} rows[] = {
		{ "deliver maildir /home/%n/Maildir", "h.conf:1: '%n' means nothing here; there are: %u user" },
		{ "deliver mbox /var/mail/%U", "'%U' means nothing" },
		{ "deliver mbox /var/mail/%u%", "'%' means nothing" },
		{ "deliver command \"/bin/x %u %%% %d\"", "'% ' means nothing" },
		{ "deliver maildir %u/Maildir", "begins with / or ~/ or %h" },
		{ "deliver maildir ~bob/Maildir", "begins with / or ~/ or %h" },
		{ "deliver command procmail -d %u", "not given by its full path" },
		{ many, "longer than 2048 bytes" },
	};
	static const char *const good[] = { "deliver maildir %h/Maildir",
		"deliver maildir ~/Maildir", "deliver mbox /m/%d/%u.%%",
		"deliver mbox mail/%a", "deliver command /bin/x %u %d %h %a" };

	memset(many + strlen(many), 'x', HB_MAX_TEMPLATE);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf_report report;
		struct hb_conf *c = parse(rows[i].text, &report);

		hb_buf_add(&report.text, hb_span("", 1));
		if (report.errors != 1 || strstr((char *)report.text.p,
		    rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].text, report.text.p);
		hb_buf_free(&report.text);
		hb_conf_free(&c);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		struct hb_conf *c = parse_good(good[i]);

		hb_conf_free(&c);
	}
}

static void
test_S_14_mistakes_that_a_start_would_not_show(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "listen 127.0.0.1:25 smtp\nlisten 127.0.0.1:25 lmtp", "h.conf:2: '127.0.0.1:25' is listened on already, by 'listen 127.0.0.1:25'" },
		{ "listen *:25 smtp\nlisten 192.0.2.1:25 smtp", "h.conf:2: '192.0.2.1:25' is listened on already, by 'listen *:25'" },
		{ "listen [2001:db8::1]:25 smtp\nlisten *:25 smtp", "h.conf:2: '*:25' is listened on already" },
		{ "listen 0.0.0.0:25 smtp\nlisten 192.0.2.1:25 smtp", "h.conf:2: '192.0.2.1:25' is listened on already" },
		{ "listen 192.0.2.1:465 submissions tls=off", "h.conf:1: submissions is TLS from its first byte" },
		{ "relay-from 203.0.113.5/8", "h.conf:1: '203.0.113.5/8' has bits behind its prefix: write 203.0.0.0/8, or" },
		{ "relay-from 2001:db8::1/32", "write 2001:db8::/32, or" },
		{ "domain -foo.org", "h.conf:1: '-foo.org' is not a domain name" },
		{ "domain foo-.org", "'foo-.org' is not a domain name" },
		{ "domain foo.org-", "'foo.org-' is not a domain name" },
		{ "domain file:bad.domains", "/etc/mail/bad.domains:3: '-b.test' is not" },
		{ "include ring.conf", "/etc/mail/ring2.conf:2: /etc/mail/ring.conf includes itself" },
		{ "include empty.conf", "h.conf:1: /etc/mail/empty.conf is empty" },
		{ "domain file:empty.conf", "h.conf:1: /etc/mail/empty.conf is empty" },
		{ "include fifo", "cannot read /etc/mail/fifo: Not a regular file" },
		{ "include retry.conf", "/etc/mail/retry.conf:2: 'retry' has a first" },
		{ "smarthost smtp://x auth=f", "h.conf:1: auth= has no function in this build" },
	};
	static const char *const good[] = {
		"relay-from 10.0.0.0/8 10.1.2.3 ::1 2001:db8::/32",
		"relay-from 192.0.2.128/25", "domain a--b.test",
		"listen 127.0.0.1:25 smtp\nlisten [::1]:25 smtp",
		"listen 0.0.0.0:25 smtp\nlisten [::]:25 smtp",
		"listen *:25 smtp\nlisten *:26 smtp" };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf_report report;
		struct hb_conf *c = parse(rows[i].text, &report);

		hb_buf_add(&report.text, hb_span("", 1));
		if (report.errors == 0 || strstr((char *)report.text.p,
		    rows[i].want) == NULL)
			fail_msg("%s: %s", rows[i].text, report.text.p);
		hb_buf_free(&report.text);
		hb_conf_free(&c);
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(good); i++) {
		struct hb_conf *c = parse_good(good[i]);

		hb_conf_free(&c);
	}
}

/* Mail that goes round comes back to its sender. */
static void
test_S_1_a_route_to_this_server_itself_is_refused(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "smarthost smtp://localhost", false },
		{ "smarthost smtp://127.0.0.1", false },
		{ "smarthost smtp://127.0.0.1:26", true },
		{ "smarthost smtp://[::1]", true },
		{ "listen *:25 smtp\nsmarthost smtp://[::1]", false },
		{ "smarthost smtp://HOST.example", true },
		{ "listen *:25 smtp\nsmarthost smtp://HOST.example", false },
		{ "listen *:25 smtp\nsmarthost smtps://host.example", true },
		{ "listen *:465 submissions\nroute x.test smtps://host.example", false },
		{ "listen 192.0.2.1:587 submission\nroute * smtp+tls://192.0.2.1:587", false },
		{ "listen 192.0.2.1:587 submission\nroute * smtp+tls://192.0.2.2:587", true },
		{ "route x.test mx://host.example", true },
		{ "route x.test lmtp://localhost:25", true },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf_report report;
		struct hb_conf *c = parse(rows[i].text, &report);

		if ((report.errors == 0) != rows[i].good)
			fail_msg("%s: %zu", rows[i].text, report.errors);
		hb_buf_free(&report.text);
		hb_conf_free(&c);
	}
}

static void
test_F_24_a_byte_order_mark_is_skipped(void **state)
{
	struct hb_conf *c = parse_good("\xef\xbb\xbfmax-recipients 7\n"
	    "include mark.conf\ndomain file:mark.domains\n");

	assert_int_equal(c->max_recipients, 7);
	assert_int_equal(c->max_hops, 9);
	assert_string_equal(c->domains.v[0], "one.test");
	hb_conf_free(&c);
}

static void
test_S_1_whose_mailbox_it_is_is_told(void **state)
{
	static const struct {
		const char *text;
		size_t warnings;
	} rows[] = {
		{ "deliver mbox /var/mail/all", 1 },
		{ "deliver mbox /var/mail/%u", 0 },
		{ "deliver maildir ~/Maildir", 0 },
		{ "deliver maildir ~/%u\nlocal-users m", 1 },
		{ "deliver maildir ~/Maildir\nlocal-users m", 2 },
		{ "deliver maildir ~/%u\nlocal-users m\nuser local x", 0 },
		{ "deliver maildir ~/M\nlocal-users m\nuser local x", 1 },
		{ "deliver command /bin/x", 0 },
		{ "local-users m", 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_conf_report report;
		struct hb_conf *c = parse(rows[i].text, &report);

		if (report.errors != 0 || report.warnings != rows[i].warnings)
			fail_msg("%s: %zu", rows[i].text, report.warnings);
		hb_buf_free(&report.text);
		hb_conf_free(&c);
	}
}

static void
all_mistakes_are_told_at_once(void **state)
{
	struct hb_conf_report report;
	struct hb_conf *c = parse("a 1\nb 2\nmax-hops x\n", &report);

	assert_int_equal(report.errors, 3);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
}

static void
auth_dovecot(void **state)
{
	struct hb_conf_report report;
	struct hb_conf *c = parse("auth dovecot /run/d\nauth passwd-file /p\n",
	    &report);
	struct hb_buf out = HB_BUF_INIT(0);
	unsigned index;

	assert_int_equal(report.errors, 0);
	assert_int_equal(c->auth.n, 1);
	assert_string_equal(c->auth.dovecot, "/run/d");
	assert_int_equal(hb_endpoint_find(c, HB_SPAN("/run/d"), &index), 0);
	hb_conf_dump(c, &out);
	assert_true(hb_span_search(hb_buf_span(&out),
	    HB_SPAN("\nauth dovecot /run/d\n")) < out.n);
	hb_buf_free(&out);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
	c = parse("auth dovecot /run/d\nauth dovecot /run/e\n", &report);
	assert_int_equal(report.errors, 1);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
}

static void
test_T_7_filters(void **state)
{
	struct hb_conf *c = parse_good("milter unix:/run/a/s\n"
	    "milter inet:localhost:8891 timeout=5m on-failure=accept\n"
	    "milter inet:[::1]:99 on-failure=reject\nauth dovecot /run/d\n");
	struct hb_buf out = HB_BUF_INIT(0), many = HB_BUF_INIT(0);
	struct hb_conf_report report;
	unsigned index;

	assert_int_equal(c->milters.n, 3);
	assert_string_equal(c->milters.v[0].path, "/run/a/s");
	assert_int_equal(c->milters.v[0].timeout_ms, 30000);
	assert_int_equal(c->milters.v[0].on_failure, HB_FILTER_TEMPFAIL);
	assert_null(c->milters.v[1].path);
	assert_true(hb_netaddr_is_loopback(&c->milters.v[1].addr));
	assert_int_equal(c->milters.v[1].addr.port, 8891);
	assert_int_equal(c->milters.v[1].on_failure, HB_FILTER_ACCEPT);
	assert_int_equal(c->milters.v[2].on_failure, HB_FILTER_REJECT);
	/* smtpd gets connections to these, and to no other socket */
	assert_int_equal(hb_endpoint_find(c, HB_SPAN("/run/a/s"), &index), 0);
	assert_true(hb_endpoint_is_filter(c, index));
	assert_int_equal(hb_endpoint_find(c, HB_SPAN("/run/d"), &index), 0);
	assert_false(hb_endpoint_is_filter(c, index));
	assert_false(hb_endpoint_is_filter(c, 99));
	hb_conf_dump(c, &out);
	assert_true(hb_span_search(hb_buf_span(&out), HB_SPAN("\nmilter "
	    "inet:localhost:8891 timeout=5m on-failure=accept\n")) < out.n);
	hb_buf_free(&out);
	hb_conf_free(&c);
	for (unsigned i = 0; i < HB_MAX_MILTERS + 1; i++)
		hb_buf_addf(&many, "milter unix:/run/%u\n", i);
	c = parse(hb_buf_cstr(&many), &report);
	assert_int_equal(report.errors, 1);
	assert_int_equal(c->milters.n, HB_MAX_MILTERS);
	hb_buf_free(&many);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
}

static void
words_without_function_are_listed(void **state)
{
	struct hb_conf_report report;
	struct hb_conf *c = parse("tls-report on\ngenerics g\ndane-x\n", &report);

	assert_int_equal(report.errors, 1);
	assert_int_equal(report.warnings, 2);
	assert_int_equal(c->unbuilt.n, 2);
	assert_string_equal(c->unbuilt.v[0], "tls-report");
	hb_buf_free(&report.text);
	hb_conf_free(&c);
	c = parse("tls-report off\nforward-files off\n", &report);
	assert_int_equal(report.warnings, 0);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
}

static void
a_listener_where_nobody_can_log_in_is_told(void **state)
{
	struct hb_conf_report report;
	struct hb_conf *c = parse("listen 127.0.0.1:587 submission tls=off\n"
	    "listen 127.0.0.1:25 smtp tls=off auth=offer\n"
	    "listen 127.0.0.1:26 smtp tls=off\n"
	    "listen 127.0.0.2:25 lmtp\n", &report);

	assert_int_equal(report.errors, 0);
	assert_int_equal(report.warnings, 3);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
}

static void
the_canonical_text_parses_to_itself(void **state)
{
	const char *src = getenv("HB_SRCDIR");
	struct hb_buf one = HB_BUF_INIT(0), two = HB_BUF_INIT(0);
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf_source canonical = { .file = "canonical" };
	char path[4096];
	static char text[65536];
	struct hb_conf *c, *again;
	FILE *f;

	snprintf(path, sizeof(path), "%s/tests/fuzz/seeds/conf/full",
	    src != NULL ? src : ".");
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, sizeof(text) - 1, f) > 0);
	fclose(f);
	c = parse_good(text);
	hb_conf_dump(c, &one);
	canonical.text = hb_buf_span(&one);
	again = hb_conf_parse(&canonical, &report);
	assert_int_equal(report.errors, 0);
	assert_int_equal(report.warnings, 0);
	hb_conf_dump(again, &two);
	hb_buf_add(&one, hb_span("", 1));
	hb_buf_add(&two, hb_span("", 1));
	assert_string_equal(one.p, two.p);
	assert_int_equal(again->tls_policies.n, 1);
	assert_string_equal(again->tls_policies.v[0].reason, "by \"contract\"");
	hb_conf_free(&c);
	hb_conf_free(&again);
	hb_buf_free(&one);
	hb_buf_free(&two);
	hb_buf_free(&report.text);
}

static void
certificates_have_a_bound(void **state)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_conf_report report;
	struct hb_conf *c;

	for (int i = 0; i < HB_MAX_CERTIFICATES; i++)
		hb_buf_adds(&text, "tls-certificate a key=b\nca-file c\n");
	hb_buf_add(&text, hb_span("", 1));
	c = parse_good((const char *)text.p);
	assert_int_equal(c->certs.n, HB_MAX_CERTIFICATES);
	assert_int_equal(c->ca_files.n, HB_MAX_CERTIFICATES);
	hb_conf_free(&c);
	hb_buf_truncate(&text, text.n - 1);
	hb_buf_adds(&text, "tls-certificate a key=b\nca-file c\n");
	hb_buf_add(&text, hb_span("", 1));
	c = parse((const char *)text.p, &report);
	assert_int_equal(report.errors, 2);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
	hb_buf_free(&text);
}

static void
lines_have_a_bound(void **state)
{
	static char text[HB_MAX_CONF_LINE + 2];
	struct hb_conf_report report;
	struct hb_conf *c;

	memset(text, '#', HB_MAX_CONF_LINE);
	c = parse(text, &report);
	assert_int_equal(report.errors, 0);
	hb_conf_free(&c);
	text[HB_MAX_CONF_LINE] = '#';
	c = parse(text, &report);
	assert_int_equal(report.errors, 1);
	hb_buf_free(&report.text);
	hb_conf_free(&c);
}

static void
the_most_exact_pattern_wins(void **state)
{
	struct hb_conf *c = parse_good("route * smtp://any\n"
	    "route .example smtp://sub\nroute .a.example smtp://suba\n"
	    "route b.a.example smtp://exact\n"
	    "tls-policy x.example verify until=2026-01-01\n"
	    "tls-policy y.example none until=2026-01-01\n"
	    "tls-policy * encrypt\n");
	static const struct {
		const char *domain, *route;
	} rows[] = {
		{ "B.A.example", "smtp://exact" },
		{ "c.a.example", "smtp://suba" },
		{ "a.example", "smtp://sub" },
		{ "example", "smtp://any" },
		{ "xexample", "smtp://any" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++)
		assert_string_equal(hb_conf_route(c,
		    hb_span_str(rows[i].domain))->route, rows[i].route);
	/* the whole last day still counts; then the word is gone */
	assert_int_equal(hb_conf_tls_policy(c, HB_SPAN("x.example"),
	    INT64_C(1767311999999), true)->level, HB_TLS_VERIFY);
	assert_int_equal(hb_conf_tls_policy(c, HB_SPAN("x.example"),
	    INT64_C(1767312000000), true)->level, HB_TLS_ENCRYPT);
	/* a clock that is not believed ends no demand, but an exemption */
	assert_int_equal(hb_conf_tls_policy(c, HB_SPAN("x.example"),
	    INT64_C(1767312000000), false)->level, HB_TLS_VERIFY);
	assert_int_equal(hb_conf_tls_policy(c, HB_SPAN("y.example"),
	    INT64_C(1767311999999), false)->level, HB_TLS_NONE);
	assert_int_equal(hb_conf_tls_policy(c, HB_SPAN("y.example"),
	    INT64_C(1767312000000), false)->level, HB_TLS_ENCRYPT);
	hb_conf_free(&c);
}

static void
test_S_6_the_systems_aliases_are_taken(void **state)
{
	struct hb_conf *c = parse_good("");
	const struct hb_place *at;

	assert_int_equal(c->aliases.kind, HB_MAP_NONE);
	hb_conf_free(&c);
	usual_aliases = "/usual/aliases";
	c = parse_good("");
	assert_int_equal(c->aliases.kind, HB_MAP_AUTO);
	assert_string_equal(c->aliases.arg, usual_aliases);
	/* a check finds its mistakes, at its own line */
	at = &c->places.v[c->places.n - 1];
	assert_int_equal(at->kind, HB_PLACE_ALIASES);
	assert_string_equal(at->path, usual_aliases);
	assert_string_equal(at->file, usual_aliases);
	hb_conf_free(&c);
	c = parse_good("aliases text:/etc/others\n");
	assert_int_equal(c->aliases.kind, HB_MAP_TEXT);
	assert_string_equal(c->aliases.arg, "/etc/others");
	hb_conf_free(&c);
	usual_aliases = NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_those_of_the_interface),
		cmocka_unit_test(values_are_read),
		cmocka_unit_test(mistakes_name_file_line_and_remedy),
		cmocka_unit_test(
		    test_S_1_letters_that_do_not_exist_are_refused),
		cmocka_unit_test(
		    test_S_14_mistakes_that_a_start_would_not_show),
		cmocka_unit_test(
		    test_S_1_a_route_to_this_server_itself_is_refused),
		cmocka_unit_test(test_F_24_a_byte_order_mark_is_skipped),
		cmocka_unit_test(test_S_1_whose_mailbox_it_is_is_told),
		cmocka_unit_test(all_mistakes_are_told_at_once),
		cmocka_unit_test(auth_dovecot),
		cmocka_unit_test(test_T_7_filters),
		cmocka_unit_test(words_without_function_are_listed),
		cmocka_unit_test(a_listener_where_nobody_can_log_in_is_told),
		cmocka_unit_test(the_canonical_text_parses_to_itself),
		cmocka_unit_test(lines_have_a_bound),
		cmocka_unit_test(certificates_have_a_bound),
		cmocka_unit_test(the_most_exact_pattern_wins),
		cmocka_unit_test(test_S_6_the_systems_aliases_are_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
