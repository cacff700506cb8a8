/*
 * `sts import`: lines of JSON become policies, each a request to the worker
 * that owns its domain.  Floor 4.
 *
 * The file comes in pieces after the request.  Up to ROWS policies are asked
 * for together; meanwhile the client is not read from.
 */
#include "config.h"

#include "common/control/control.h"
#include "common/control/page.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/io/workers.h"
#include "sts/record.h"
#include "sts/txt.h"

enum {
	ROWS = 64,
	LINE_MOST = 512 << 10, /* bytes: a policy of 64 KiB, escaped */
	REPORTS_MOST = 1000    /* damaged lines that are named */
};

struct ctl_import {
	struct hb_buf text; /* out of the pieces, not yet lines */
	uint64_t line;	    /* of the last one */
	uint64_t asked[ROWS]; /* the lines of the client's requests */
	bool whole;	      /* the client has sent all */
	bool too_long;	      /* passing over the rest of a line */
	uint64_t imported, kept, damaged;
};

static void
damaged(struct ctl_client *c, uint64_t line, const char *why)
{
	struct ctl_import *im = c->state;
	struct hb_buf text = HB_BUF_INIT(0);

	if (im->damaged++ < REPORTS_MOST) {
		hb_buf_addf(&text, "%.*s:%llu: %s", HB_SPAN_ARG(c->args[0]),
		    (unsigned long long)line, why);
		ctl_err(c, hb_buf_cstr(&text));
		hb_hook_arm(c->write);
	}
	hb_buf_free(&text);
}

/* --- one line --- */

/* The policy as it was fetched, or as its fields say. */
static void
take_policy(const json_t *o, struct hb_buf *out)
{
	const json_t *mx = json_object_get(o, "mx"), *v;
	struct hb_span text = ctl_member(o, "text");
	size_t i;

	if (text.n > 0) {
		hb_buf_add(out, text);
		return;
	}
	hb_buf_addf(out, "version: STSv1\nmode: %.*s\nmax_age: %lld\n",
	    HB_SPAN_ARG(ctl_member(o, "mode")), (long long)json_integer_value(
		json_object_get(o, "max_age")));
	json_array_foreach(mx, i, v)
		hb_buf_addf(out, "mx: %.*s\n", HB_SPAN_ARG(ctl_string(v)));
}

/* The worker whose domain it is says the rest. */
static const char *
ask_worker(
    struct ctl_client *c, struct hb_span domain, const struct sts_record *r)
{
	struct ctl_import *im = c->state;
	unsigned workers =
	    hb_worker_count(c->ctl->env->conf->workers.delivery);
	unsigned char lower[HB_MAX_DOMAIN];
	struct hb_buf value = HB_BUF_INIT(0);
	struct ipc_ctl q = { .verb = HB_CTL_STS_IMPORT };

	if (domain.n == 0 || domain.n > sizeof(lower))
		return "no domain";
	q.arg = hb_span_lower(domain, lower);
	sts_record_encode(r, &value);
	q.value = hb_buf_span(&value);
	im->asked[c->nasks] = im->line;
	ctl_ask(c, HB_ROLE_DELIVERY, hb_home_worker(q.arg, workers), &q);
	hb_buf_free(&value);
	return NULL;
}

static const char *
take_object(struct ctl_client *c, const json_t *o)
{
	struct sts_record r = { .id = ctl_member(o, "id"),
		.source = HB_SPAN("imported") };
	struct hb_buf text = HB_BUF_INIT(0);
	const char *why;

	if (!json_is_object(o))
		return "not a JSON object";
	if (!ctl_time(o, "fetched", &r.fetched_ms) ||
	    !ctl_time(o, "refreshed", &r.refreshed_ms) ||
	    !ctl_time(o, "expires", &r.expires_ms))
		return "fetched, refreshed or expires is not a time";
	if (!sts_is_id(r.id))
		return "id is not 1 to 32 letters and digits";
	r.tried_ms = r.refreshed_ms;
	take_policy(o, &text);
	r.text = hb_buf_span(&text);
	why = r.text.n > HB_MAX_STS_BODY
	    ? "the policy is too long"
	    : ask_worker(c, ctl_member(o, "domain"), &r);
	hb_buf_free(&text);
	return why;
}

static void
take_line(struct ctl_client *c, struct hb_span line)
{
	struct ctl_import *im = c->state;
	const char *why = "the line is too long";
	json_t *o = NULL;

	im->line++;
	if (!im->too_long) {
		if (hb_span_trim(line).n == 0)
			return;
		o = json_loadb((const char *)line.p, line.n, 0, NULL);
		why = take_object(c, o);
	}
	im->too_long = false;
	if (why != NULL)
		damaged(c, im->line, why);
	json_decref(o);
}

/* --- the whole file --- */

/* False: there is no whole line. */
static bool
next_line(struct ctl_client *c)
{
	struct ctl_import *im = c->state;
	struct hb_span text = hb_buf_span(&im->text);
	size_t n = hb_span_find(text, '\n');
	bool last = n == text.n;

	if (last && !im->whole && n > LINE_MOST) {
		im->too_long = true;
		hb_buf_clear(&im->text);
	}
	if (last && (!im->whole || (n == 0 && !im->too_long)))
		return false;
	take_line(c, hb_span_head(text, n));
	hb_buf_consume(&im->text, last ? n : n + 1);
	return true;
}

static void
take_pieces(struct ctl_client *c)
{
	struct ctl_import *im = c->state;
	struct hb_ctl_piece piece;
	int used;

	while (!im->whole && (used = hb_ctl_piece_parse(
				  hb_buf_span(&c->more), &piece)) != 0) {
		im->whole = used < 0 || piece.kind == HB_CTL_EXIT;
		if (used < 0) {
			ctl_err(c, "not a piece of a file");
			im->damaged++;
			hb_buf_clear(&im->text);
			return;
		}
		if (!im->whole)
			hb_buf_add(&im->text, piece.bytes);
		hb_buf_consume(&c->more, (size_t)used);
	}
}

static void
take_answers(struct ctl_client *c)
{
	struct ctl_import *im = c->state;

	for (size_t i = 0; i < c->nasks; i++) {
		const struct ctl_ask *a = c->asks[i];

		if (a->exit_code != 0)
			damaged(c, im->asked[i], a->text);
		else if (strcmp(a->text, "kept") == 0)
			im->kept++;
		else
			im->imported++;
	}
	ctl_asks_drop(c);
}

static void
end(struct ctl_client *c)
{
	const struct ctl_import *im = c->state;

	ctl_addf(c, c->q.json
		? "{\"imported\":%llu,\"kept\":%llu,\"damaged\":%llu}\n"
		: "imported %llu, newer ones kept %llu, damaged lines %llu\n",
	    (unsigned long long)im->imported, (unsigned long long)im->kept,
	    (unsigned long long)im->damaged);
	ctl_exit(c, im->damaged > 0 ? 1 : 0);
}

/* All that was asked is answered: asks more, as far as the file has come. */
void
ctl_import_finish(struct ctl_client *c)
{
	const struct ctl_import *im = c->state;

	take_pieces(c);
	do {
		take_answers(c);
		while (c->nasks < ROWS && next_line(c))
			continue;
	} while (c->nasks > 0 && c->waiting == 0);
	ctl_hold(c, c->waiting > 0 || im->whole);
	if (c->waiting == 0 && im->whole)
		end(c);
}

static void
free_import(struct ctl_client *c)
{
	struct ctl_import *im = c->state;

	hb_buf_free(&im->text);
	free(im);
}

void
ctl_import_begin(struct ctl_client *c)
{
	struct ctl_import *im = HB_NEW(struct ctl_import);

	im->text = HB_BUF_INIT(0);
	c->state = im;
	c->free_state = free_import;
	c->input = ctl_import_finish;
}
