/* An incoming message from a file.  Floor 4. */
#include "config.h"

#include "queue/manager/intake.h"

#include <unistd.h>

#include "common/proto/envelope.h"
#include "queue/spool/io.h"

void
q_intake_start(struct q_intake *k, struct q_spool *spool, uint64_t id,
    uint64_t total, const struct hb_incoming_rules *rules)
{
	*k = (struct q_intake){ .spool = spool, .id = id, .total = total,
		.rest = HB_BUF_INIT(0), .body = HB_BUF_INIT(0), .fd = -1 };
	hb_incoming_start(&k->in, rules);
}

/* The first bytes of the body: how long it is is known now. */
static int
open_large(struct q_intake *k)
{
	uint64_t size = k->total - k->in.fields.n;
	int err;

	if (k->large || k->body.n > 0 || size <= HB_MAX_LARGE_MESSAGE)
		return 0;
	err = q_spool_large_create(k->spool, k->id, &k->fd);
	k->large = err == 0;
	return err;
}

static int
put_body(struct q_intake *k, struct hb_span bytes)
{
	int err = bytes.n > 0 ? open_large(k) : 0;

	if (err < 0)
		return err;
	if (k->large)
		return q_write_all(k->fd, bytes);
	hb_buf_add(&k->body, bytes);
	return 0;
}

/* Takes what it can of IN; *USED gets how much that is. */
static int
take(struct q_intake *k, struct hb_span in, size_t *used)
{
	struct hb_incoming_piece p;
	int err;

	*used = 0;
	do {
		p = hb_incoming_take(&k->in, hb_span_from(in, *used));
		*used += p.used;
		err = put_body(k, p.body);
	} while (err == 0 && (p.used > 0 || p.body.n > 0));
	return err;
}

int
q_intake_feed(struct q_intake *k, struct hb_span bytes)
{
	size_t used;
	int err;

	if (k->rest.n > 0) {
		hb_buf_add(&k->rest, bytes);
		err = take(k, hb_buf_span(&k->rest), &used);
		hb_buf_consume(&k->rest, used);
		return err;
	}
	err = take(k, bytes, &used);
	hb_buf_add(&k->rest, hb_span_from(bytes, used));
	return err;
}

const char *
q_intake_end(struct q_intake *k, const struct hb_incoming_fields *f,
    struct hb_env *env, struct q_body *body)
{
	struct hb_span head;

	hb_incoming_end(&k->in, hb_buf_span(&k->rest));
	if (hb_incoming_fault(&k->in) != HB_INCOMING_GOOD)
		return hb_incoming_fault_text(&k->in);
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	head = hb_incoming_head(&k->in, f);
	env->size = head.n + k->in.size;
	env->flags = hb_env_one_tls_flag(env->flags |
	    hb_incoming_flags(&k->in) | (k->large ? HB_ENV_LARGE : 0));
	*body = (struct q_body){ .head = head,
		.bytes = hb_buf_span(&k->body), .large = k->large,
		.size = k->in.size, .crc = k->in.crc };
	return NULL;
}

void
q_intake_discard(struct q_intake *k)
{
	if (k->large)
		q_spool_large_discard(k->spool, k->id);
	k->large = false;
}

void
q_intake_free(struct q_intake *k)
{
	if (k->fd >= 0)
		close(k->fd);
	k->fd = -1;
	k->large = false;
	hb_incoming_free(&k->in);
	hb_buf_free(&k->rest);
	hb_buf_free(&k->body);
}
