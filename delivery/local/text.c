/* The pure part of local delivery.  Floor 2. */
#include "delivery/local/text.h"

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/base/timefmt.h"
#include "common/proto/intake.h"

/* May S be one name of a path? */
static bool
is_name(struct hb_span s)
{
	if (s.n == 0 || s.p[0] == '.')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] == '/' || s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static int
put_var(unsigned char c, const struct local_vars *v, bool is_path,
    struct hb_buf *out)
{
	struct hb_span value;

	switch (c) {
	case '%':
		return hb_buf_putc(out, '%');
	case 'h':
		return hb_buf_put(out, v->home);
	case 'u':
		value = v->user;
		break;
	case 'd':
		value = v->domain;
		break;
	case 'a':
		value = v->address;
		break;
	default:
		return HB_E_UNSUPPORTED;
	}
	if (is_path && !is_name(value))
		return HB_E_SYNTAX;
	return hb_buf_put(out, value);
}

int
local_expand(struct hb_span t, const struct local_vars *v, bool is_path,
    struct hb_buf *out)
{
	int r = 0;

	if (t.n > 0 && t.p[0] == '~' && (t.n == 1 || t.p[1] == '/')) {
		r = hb_buf_put(out, v->home);
		t = hb_span_from(t, 1);
	}
	while (t.n > 0 && r == 0) {
		size_t at = hb_span_find(t, '%');

		r = hb_buf_put(out, hb_span_head(t, at));
		if (at == t.n || r < 0)
			break;
		if (at + 1 == t.n)
			return HB_E_UNSUPPORTED;
		r = put_var(t.p[at + 1], v, is_path, out);
		t = hb_span_from(t, at + 2);
	}
	return r;
}

void
local_unique(int64_t now_us, int pid, uint64_t random, const char *host,
    struct hb_buf *out)
{
	hb_buf_addf(out, "%lld.M%06lldP%dR%016llx.",
	    (long long)(now_us / 1000000), (long long)(now_us % 1000000), pid,
	    (unsigned long long)random);
	for (; *host != '\0'; host++)
		if (*host == '/')
			hb_buf_adds(out, "\\057");
		else if (*host == ':')
			hb_buf_adds(out, "\\072");
		else
			hb_buf_addf(out, "%c", *host);
}

bool
local_may_be_head(const struct hb_env *env, const struct hb_rcpt *rcpt)
{
	return hb_intake_is_text(env->sender) &&
	    hb_intake_is_text(rcpt->address);
}

void
local_head(const struct hb_env *env, const struct hb_rcpt *rcpt,
    struct hb_buf *out)
{
	HB_ASSERT(local_may_be_head(env, rcpt));
	hb_buf_adds(out, "Return-Path: <");
	hb_buf_add(out, env->sender);
	hb_buf_adds(out, ">\nDelivered-To: ");
	hb_buf_add(out, rcpt->address);
	hb_buf_adds(out, "\n");
}

void
local_from_line(const struct hb_env *env, int64_t now_ms, struct hb_buf *out)
{
	char t[HB_TIME_RFC5322_SIZE];
	struct hb_span rest, wd, day, mon, year, clock;

	/* "Sun, 22 Nov 2026 02:15:00 +0000" to "Sun Nov 22 02:15:00 2026" */
	hb_time_rfc5322(now_ms, t);
	rest = hb_span_str(t);
	wd = hb_span_head(hb_span_word(&rest), 3);
	day = hb_span_word(&rest);
	mon = hb_span_word(&rest);
	year = hb_span_word(&rest);
	clock = hb_span_word(&rest);
	HB_ASSERT(hb_intake_is_text(env->sender));
	hb_buf_adds(out, "From ");
	/* The line ends at its first blank: a quoted local part may hold one. */
	if (env->sender.n == 0 || hb_span_find(env->sender, ' ') < env->sender.n)
		hb_buf_adds(out, "MAILER-DAEMON");
	else
		hb_buf_add(out, env->sender);
	hb_buf_addf(out, " %.*s %.*s %2.*s %.*s %.*s\n", HB_SPAN_ARG(wd),
	    HB_SPAN_ARG(mon), HB_SPAN_ARG(day), HB_SPAN_ARG(clock), HB_SPAN_ARG(year));
}

void
local_filter_init(struct local_filter *f, bool mbox)
{
	*f = (struct local_filter){ .mbox = mbox, .header = true };
}

static const char return_path[] = "Return-Path";

/* May what is held and C become "From "? */
static bool
may_be_from(const struct local_filter *f, unsigned char c)
{
	static const unsigned char from[] = "From ";

	return f->mbox && f->n_start < sizeof(from) - 1 &&
	    memcmp(f->start, from, f->n_start) == 0 && c == from[f->n_start];
}

/* May what is held and C become "Return-Path:"? */
static bool
may_be_return_path(const struct local_filter *f, unsigned char c)
{
	struct hb_span name = hb_span_str(return_path);
	struct hb_span held = hb_span(f->start, f->n_start);

	if (!f->header || f->quotes > 0 || f->n_start + 1 >= LOCAL_HOLD ||
	    !hb_span_has_prefix_nocase(name, hb_span_head(held, name.n)))
		return false;
	if (held.n >= name.n)
		return c == ':' || c == ' ' || c == '\t';
	return hb_lower(c) == hb_lower(name.p[held.n]);
}

/* The start of a line is decided, and is no Return-Path: gives out what was
 * held back. */
static void
release_start(struct local_filter *f, struct hb_buf *out)
{
	struct hb_span held = hb_span(f->start, f->n_start);

	if (f->mbox && hb_span_eq(held, HB_SPAN("From ")))
		hb_buf_adds(out, ">");
	for (; f->quotes > 0; f->quotes--)
		hb_buf_adds(out, ">");
	hb_buf_add(out, held);
	f->n_start = 0;
	f->drop = f->field = false;
	f->in_line = true;
}

/* Holds back as long as the line may still become "From " or "Return-Path:".
 * Returns true when C was taken. */
static bool
hold(struct local_filter *f, unsigned char c, struct hb_buf *out)
{
	bool first = f->n_start == 0 && f->quotes == 0;

	if (first && c == '.' && !f->dot) {
		f->dot = true; /* stuffed: dropped */
		return true;
	}
	if (first && f->header && (c == ' ' || c == '\t')) {
		f->field = true; /* folded: as the line before */
		f->in_line = true;
		return false;
	}
	if (f->mbox && f->n_start == 0 && c == '>') {
		f->quotes++;
		return true;
	}
	if (!may_be_from(f, c) && !may_be_return_path(f, c)) {
		release_start(f, out);
		return false;
	}
	f->start[f->n_start++] = c;
	if (c == ':') {
		f->drop = f->field = f->in_line = true;
		f->n_start = 0;
	} else if (f->n_start == 5 && c == ' ') {
		release_start(f, out);
	}
	return true;
}

static void
end_line(struct local_filter *f, struct hb_buf *out)
{
	if (!f->in_line)
		release_start(f, out);
	if (!f->drop)
		hb_buf_adds(out, "\n");
	/* An empty line ends the header, and so does one that is no field:
	 * what follows may be the text of a message without a header. */
	if (!f->field)
		f->header = false;
	f->in_line = f->saw_cr = f->dot = false;
}

/* The rest of a line, up to a CR that may end it.  A bare LF should not be
 * there; as it ends a line in the mailbox, it does so here. */
static size_t
copy_line(struct local_filter *f, struct hb_span in, struct hb_buf *out)
{
	size_t cr = hb_span_find(in, '\r');
	size_t lf = hb_span_find(hb_span_head(in, cr), '\n');
	struct hb_span text = hb_span_head(in, lf);

	if (!f->drop)
		hb_buf_add(out, text);
	if (f->header && !f->field)
		f->field = hb_span_find(text, ':') < text.n;
	if (lf == in.n)
		return lf;
	if (lf < cr)
		end_line(f, out);
	else
		f->saw_cr = true;
	return lf + 1;
}

void
local_filter_feed(struct local_filter *f, struct hb_span in,
    struct hb_buf *out)
{
	while (in.n > 0) {
		unsigned char c = in.p[0];
		size_t used = 1;

		if (f->saw_cr) {
			f->saw_cr = false;
			if (c == '\n') {
				end_line(f, out);
			} else {
				if (!f->in_line)
					release_start(f, out);
				if (!f->drop)
					hb_buf_adds(out, "\r");
				used = 0;
			}
		} else if (f->in_line) {
			used = copy_line(f, in, out);
		} else if (c == '\r') {
			f->saw_cr = true;
		} else if (!hold(f, c, out)) {
			used = 0;
		}
		in = hb_span_from(in, used);
	}
}

void
local_filter_end(struct local_filter *f, struct hb_buf *out)
{
	if (f->in_line || f->n_start > 0 || f->quotes > 0 || f->saw_cr ||
	    f->dot)
		end_line(f, out);
}

/* --- lock files --- */

static const char our_mark[] = "hauberk";

static void
parse_writing(struct hb_span text, struct local_holder *h)
{
	struct hb_span line = hb_span_cut(&text, '\n');

	h->writing = hb_span_u64(hb_span_word(&line), UINT64_MAX,
	    &h->device) == 0 &&
	    hb_span_u64(hb_span_word(&line), UINT64_MAX, &h->inode) == 0 &&
	    hb_span_u64(hb_span_word(&line), INT64_MAX, &h->size) == 0 &&
	    hb_span_find(text, '\n') + 1 == text.n;
	h->first = h->writing ? text : HB_SPAN_NONE;
}

void
local_holder_parse(struct hb_span text, struct local_holder *h)
{
	struct hb_span line, rest, digits;

	*h = (struct local_holder){ 0 };
	/* "PID" or "PID:HOST" */
	rest = hb_span_trim(hb_span_cut(&text, '\n'));
	digits = hb_span_cut(&rest, ':');
	if (hb_span_u64(digits, INT32_MAX, &h->pid) < 0)
		h->pid = 0;
	h->host = rest;
	line = hb_span_cut(&text, '\n');
	if (h->pid == 0 || !hb_span_eq(hb_span_word(&line),
	    hb_span_str(our_mark)))
		return;
	h->ours = true;
	h->host = hb_span_word(&line);
	h->boot = hb_span_word(&line);
	parse_writing(text, h);
}

void
local_holder_put(const struct local_holder *h, struct hb_buf *out)
{
	hb_buf_addf(out, "%llu\n%s ", (unsigned long long)h->pid, our_mark);
	hb_buf_add(out, h->host);
	hb_buf_adds(out, " ");
	hb_buf_add(out, h->boot);
	hb_buf_adds(out, "\n");
	if (!h->writing)
		return;
	hb_buf_addf(out, "%llu %llu %llu\n", (unsigned long long)h->device,
	    (unsigned long long)h->inode, (unsigned long long)h->size);
	/* Other programs may have written the file: any byte, NUL too. */
	hb_buf_add(out, h->first);
}

static void
scan_byte(struct local_scan *s, unsigned char c)
{
	static const unsigned char from[] = "From ";
	unsigned char last = s->matched > 0 ? from[s->matched - 1] : s->before;

	if (c != from[s->matched]) {
		s->before = c == from[0] ? last : c;
		s->matched = c == from[0] ? 1 : 0;
		return;
	}
	if (++s->matched < sizeof(from) - 1)
		return;
	s->foreign |= s->before != '>';
	s->before = ' ';
	s->matched = 0;
}

void
local_scan_feed(struct local_scan *s, struct hb_span in)
{
	for (size_t i = 0; i < in.n && !s->foreign; i++)
		if (s->at < s->first.n)
			s->foreign = in.p[i] != s->first.p[s->at++];
		else
			scan_byte(s, in.p[i]);
}
