/* Submitting a message from standard input.  Floor 4. */
#include "config.h"

#include "common/tools/sendmail.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/proto/address.h"
#include "common/proto/addrlist.h"
#include "common/proto/idna.h"
#include "common/proto/maildrop.h"
#include "common/proto/xtext.h"
#include "common/tools/smmessage.h"

enum { SHOWN_BYTES = 200 }; /* of an address that is none */

int
sm_fail(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "sendmail: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	va_end(ap);
	return code;
}

/* --- recipients --- */

/* ADDRESS, with our domain where it has none. */
static void
qualify(const struct sm *s, struct hb_span address, struct hb_buf *out)
{
	struct hb_span local, domain;

	hb_buf_add(out, address);
	hb_addr_split(address, &local, &domain);
	if (address.n > 0 && domain.n == 0)
		hb_buf_addf(out, "@%s", s->origin);
}

int
sm_add_rcpt(struct sm *s, struct hb_span address)
{
	struct hb_buf full = HB_BUF_INIT(0);
	struct hb_rcpt r = { .notify = s->o.notify };
	int err;

	qualify(s, address, &full);
	r.address = hb_buf_span(&full);
	err = hb_drop_rcpt_put(&r, &s->submit.rcpts);
	hb_buf_free(&full);
	if (err == 0 && s->submit.rcpts.n <= HB_DROP_RCPTS_MAX)
		return 0;
	return sm_fail(EX_USAGE, "too many recipients, or too long a one");
}

/* The mail goes to the others all the same, as with sendmail. */
static void
tell_malformed(struct sm *s, struct hb_span raw)
{
	if (raw.n > 0 && (raw.p[raw.n - 1] == ',' || raw.p[raw.n - 1] == ';'))
		raw.n--;
	raw = hb_span_head(hb_span_trim(raw), SHOWN_BYTES);
	fprintf(stderr, "sendmail: ");
	for (size_t i = 0; i < raw.n; i++)
		fputc(raw.p[i] >= ' ' && raw.p[i] < 127 ? raw.p[i] : '?',
		    stderr);
	fprintf(stderr, "... malformed address, nothing is sent to it\n");
	s->malformed = true;
}

/* The next address, in A-labels: as hb_addrlist_next. */
static int
next_address(struct hb_addrlist *l, struct hb_buf *out)
{
	int r = hb_addrlist_next(l, out);
	int idn = r > 0 ? hb_idna_address(out) : 0;

	return idn < 0 ? idn : r;
}

int
sm_add_list(struct sm *s, struct hb_span list)
{
	struct hb_addrlist l = hb_addrlist(list);
	struct hb_buf address = HB_BUF_INIT(0);
	struct hb_span before = l.rest;
	int code = 0, r;

	while (code == 0 && (r = next_address(&l, &address)) != 0) {
		if (r > 0)
			code = sm_add_rcpt(s, hb_buf_span(&address));
		else
			tell_malformed(s, hb_span_head(before,
			    before.n - l.rest.n));
		before = l.rest;
	}
	hb_buf_free(&address);
	return code;
}

static int
add_arguments(struct sm *s)
{
	int code = 0;

	for (int i = 0; i < s->o.nrcpts && code == 0; i++)
		code = sm_add_list(s, hb_span_str(s->o.rcpts[i]));
	return code;
}

/* --- sender --- */

static const struct passwd *
caller(void)
{
	return getpwuid(getuid());
}

static int
set_sender(struct sm *s)
{
	const char *given = s->o.sender;
	const struct passwd *pw = given == NULL ? caller() : NULL;
	struct hb_addrlist l;
	struct hb_buf address = HB_BUF_INIT(0);
	int r;

	if (given != NULL && (given[0] == '\0' || strcmp(given, "<>") == 0))
		return 0; /* the null path */
	if (given == NULL)
		given = pw != NULL ? pw->pw_name : "nobody";
	l = hb_addrlist(hb_span_str(given));
	r = next_address(&l, &address);
	if (r > 0)
		qualify(s, hb_buf_span(&address), &s->sender);
	hb_buf_free(&address);
	if (r <= 0 || l.rest.n > 0)
		return sm_fail(EX_USAGE, "the sender's address is malformed");
	s->submit.env.sender = hb_buf_span(&s->sender);
	return 0;
}

/* The name of a passwd entry: before the first comma, "&" is the login. */
static void
put_gecos(const struct passwd *pw, struct hb_buf *out)
{
	for (const char *p = pw->pw_gecos; *p != '\0' && *p != ','; p++)
		if (*p == '&')
			hb_buf_adds(out, pw->pw_name);
		else
			hb_buf_addf(out, "%c", *p);
}

static void
put_from(const struct sm *s, struct hb_buf *out)
{
	struct hb_buf name = HB_BUF_INIT(0);
	const struct passwd *pw = caller();

	if (s->o.full_name != NULL)
		hb_buf_adds(&name, s->o.full_name);
	else if (pw != NULL && s->o.sender == NULL)
		put_gecos(pw, &name);
	hb_buf_adds(out, "From: ");
	if (hb_span_trim(hb_buf_span(&name)).n > 0) {
		sm_put_name(hb_buf_span(&name), out);
		hb_buf_adds(out, " ");
	}
	hb_buf_adds(out, "<");
	if (s->sender.n > 0)
		hb_buf_add(out, hb_buf_span(&s->sender));
	else
		hb_buf_addf(out, "MAILER-DAEMON@%s", s->origin);
	hb_buf_adds(out, ">");
	hb_buf_free(&name);
}

/* --- reading --- */

static int
read_lines(struct sm_message *m, uint64_t max)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;
	int code = 0, r;

	while (code == 0 && (n = getline(&line, &cap, stdin)) >= 0) {
		if (n > 0 && line[n - 1] == '\n')
			n--;
		r = sm_message_line(m, hb_span(line, (size_t)n));
		if (r == HB_E_CLOSED)
			break;
		if (r < 0)
			code = sm_fail(EX_DATAERR,
			    "the message holds a NUL byte");
		else if (m->wire.n > max)
			code = sm_fail(EX_UNAVAILABLE,
			    "the message is larger than %llu bytes",
			    (unsigned long long)max);
	}
	free(line);
	if (code == 0 && ferror(stdin))
		code = sm_fail(EX_IOERR, "standard input cannot be read");
	sm_message_end(m);
	return code;
}

static int
read_message(struct sm *s, struct sm_message *m)
{
	struct hb_buf from = HB_BUF_INIT(0);
	int code;

	put_from(s, &from);
	m->stop_at_dot = !s->o.ignore_dots;
	m->want_rcpts = s->o.from_header;
	m->origin = hb_span_str(s->origin);
	m->from = hb_buf_span(&from);
	code = read_lines(m, s->conf->max_message_size);
	hb_buf_free(&from);
	return code;
}

static void
set_envelope(struct sm *s, const struct sm_message *m, struct hb_buf *envid)
{
	struct hb_env *e = &s->submit.env;

	e->body = s->o.body;
	e->flags |= s->o.require_tls ? HB_ENV_REQUIRETLS : 0;
	e->ret = s->o.ret;
	if (s->o.envid != NULL &&
	    hb_xtext_encode(hb_span_str(s->o.envid), envid) == 0)
		e->envid = hb_buf_span(envid);
	s->submit.body = hb_buf_span(&m->wire);
	e->size = m->wire.n;
}

int
sm_deliver(struct sm *s)
{
	struct sm_message m;
	struct hb_buf envid = HB_BUF_INIT(0);
	int code;

	if (!s->o.from_header && s->o.nrcpts == 0)
		return sm_fail(EX_USAGE, "no recipient");
	sm_message_init(&m);
	code = set_sender(s);
	if (code == 0)
		code = add_arguments(s);
	if (code == 0)
		code = read_message(s, &m);
	if (code == 0 && s->o.from_header)
		code = sm_add_list(s, hb_buf_span(m.resent.n > 0 ? &m.resent
								 : &m.rcpts));
	if (code == 0 && s->submit.rcpts.n == 0)
		code = s->malformed ? EX_DATAERR
				    : sm_fail(EX_USAGE, "no recipient");
	if (code == 0) {
		set_envelope(s, &m, &envid);
		code = sm_submit(&s->submit);
	}
	if (code == 0 && s->malformed)
		code = EX_DATAERR;
	hb_buf_free(&envid);
	sm_message_free(&m);
	return code;
}
