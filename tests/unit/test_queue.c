/* The queue manager between peers of the test's own: smtpd, router, delivery,
 * parent and helper, control.  The spool is real. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "common/base/hash.h"
#include "common/io/trouble.h"
#include "common/proto/dane.h"
#include "common/proto/header.h"
#include "common/proto/incoming.h"
#include "common/proto/maildrop.h"
#include "queue/manager/drop-priv.h"
#include "queue/manager/role.h"
#include "queue/spool/io.h"

/* What queue sends. */
#define IPC_TAKES(from, to)                                                    \
	((from) == HB_TO(QUEUE) ||                                             \
	    ((from) == HB_ANY && (to) == HB_TO(CONTROL)))
#define IPC_CTX void
#define IPC_ON(name) seen_on_##name
#include "common/io/handlers.h"

/* Turns of the loop, of a millisecond and more: the clock goes on while others
 * have the processor, these do not. */
enum { PATIENCE = 5000 };

struct seen_job {
	uint32_t no;
	char route[256], domain[256], sender[256];
	char rcpts[8][256];
	uint32_t idx[8];
	size_t n;
	uint64_t id;
	uint32_t flags, ret;
	char envid[101], orcpt[8][101];
	uint32_t notify[8];
	bool final, flush, started, local, file;
	enum hb_local_kind kind;
	struct hb_buf body;
	struct hb_peer *peer;
};

/* What the other roles saw and how they answer. */
static struct {
	/* smtpd */
	unsigned answers, code;
	enum hb_reason answer;
	uint64_t space;
	uint32_t flags, commit_flags, ret, notify; /* of messages to come */
	const char *envid, *orcpt;		   /* NULL: none */
	/* router: address -> items "address route owner" */
	const char *expand[8][4];
	bool router_mute;
	const char *mute_for; /* of this address it knows nothing yet */
	enum hb_result expand_result; /* NONE: ok */
	unsigned many;	      /* members of many@here.example, thrown away */
	unsigned asked;
	/* delivery */
	struct seen_job jobs[64];
	size_t njobs;
	enum hb_result result;
	bool mute, unreachable;
	uint32_t dsn_capable, handed;
	const char *status;
	bool own_word; /* not the remote server's */
	enum hb_reason reason; /* NONE: as it happened */
	unsigned acks;
	/* helpers */
	unsigned helpers;
	char account[65];
	/* control */
	struct hb_buf said;
	size_t said_addresses;
	bool ended;
	unsigned exit_code;
} w;

static char dir[64];
static struct hb_loop *loop;
static struct hb_conf *conf;
static struct hb_role_env env;
static struct hb_peer *smtpd, *router, *delivery, *control, *parent;
static struct hb_peer *q_side[HB_ROLE_COUNT];
static bool (*until)(void);
static unsigned turns_left;
static int64_t ahead;

/* --- running --- */

static void
check(void *ctx)
{
	struct hb_timer **t = ctx;

	if (until() || turns_left-- == 0)
		hb_loop_stop(loop);
	else
		hb_timer_set(*t, 1);
}

static void
run_until(bool (*what)(void))
{
	struct hb_timer *t = hb_timer_new(loop, check, &t);

	until = what;
	hb_clock_refresh();
	turns_left = PATIENCE;
	hb_timer_set(t, 0);
	assert_int_equal(hb_loop_run(loop), 0);
	hb_timer_free(&t);
	if (!what())
		print_message("router %d answers %u, asked %u, jobs %zu, helpers %u\n",
		    q_side[HB_ROLE_ROUTER] != NULL, w.answers, w.asked, w.njobs,
		    w.helpers);
	assert_true(what());
}

static int64_t pause_end;

static bool
paused(void)
{
	return hb_mono_ms() >= pause_end;
}

static void
run_for(int ms)
{
	hb_clock_refresh();
	pause_end = hb_mono_ms() + ms;
	run_until(paused);
}

static void
advance(int64_t ms)
{
	ahead += ms;
	hb_clock_set_ahead(ahead);
	hb_clock_refresh();
	q_kick(env.ctx);
}

/* --- smtpd --- */

void
seen_on_txn_result(void *ctx, struct hb_peer *p, const struct ipc_txn_result *m)
{
	w.answers++;
	w.code = m->code;
	w.answer = (enum hb_reason)m->reason;
}

void
seen_on_space(void *ctx, struct hb_peer *p, const struct ipc_space *m)
{
	w.space = m->bytes;
}

void
seen_on_etrn_result(void *ctx, struct hb_peer *p,
    const struct ipc_etrn_result *m)
{
	fail_msg("nobody asked for a domain");
}

static uint32_t kept_txn;

/* It is empty, and can be read too. */
void
seen_on_txn_keep_fd(void *ctx, struct hb_peer *p,
    const struct ipc_txn_keep_fd *m, int fd)
{
	char byte;

	assert_int_equal(m->error, 0);
	kept_txn = m->txn;
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	close(fd);
}

static struct hb_span large_rest;

void
seen_on_txn_large_fd(void *ctx, struct hb_peer *p,
    const struct ipc_txn_large_fd *m, int fd)
{
	assert_int_equal(write(fd, large_rest.p, large_rest.n), large_rest.n);
	close(fd);
}

/* --- router --- */

static void
send_item(struct hb_peer *p, uint32_t ref, const char *line)
{
	struct hb_span s = hb_span_str(line);
	struct ipc_expand_item item = { .ref = ref };

	item.address = hb_span_word(&s);
	item.route = hb_span_word(&s);
	item.owner = hb_span_word(&s);
	hb_peer_post(p, HB_IPC_EXPAND_ITEM, &item, -1);
}

static void
send_end(struct hb_peer *p, uint32_t ref, const struct hb_outcome *o)
{
	struct hb_buf rec = HB_BUF_INIT(0);
	struct ipc_expand_end m = { .ref = ref };

	assert_int_equal(hb_tlv_encode(&hb_outcome_record, o, &rec), 0);
	m.outcome = hb_buf_span(&rec);
	hb_peer_post(p, HB_IPC_EXPAND_END, &m, -1);
	hb_buf_free(&rec);
}

/* Each tenth member a second time, in another writing. */
static void
send_many(struct hb_peer *p, uint32_t ref)
{
	char line[100];

	for (unsigned i = 0; i < w.many; i++) {
		snprintf(line, sizeof(line), "%c%u@here.example discard:",
		    i % 10 == 9 ? 'U' : 'u', i % 10 == 9 ? i - 1 : i);
		send_item(p, ref, line);
	}
}

/* As configured, or mx://DOMAIN. */
void
seen_on_expand(void *ctx, struct hb_peer *p, const struct ipc_expand *m)
{
	struct hb_outcome ok = { .result = HB_RESULT_OK };
	struct hb_outcome end = { .result = w.expand_result,
		.status = HB_SPAN("4.3.5"), .reason = HB_REASON_ALIAS_ERROR };
	char line[600];
	size_t at = hb_span_find(m->address, '@');

	w.asked++;
	if (w.router_mute || (w.mute_for != NULL &&
	    hb_span_eq(m->address, hb_span_str(w.mute_for))))
		return;
	if (hb_span_eq(m->address, HB_SPAN("many@here.example"))) {
		send_many(p, m->ref);
		send_end(p, m->ref, &ok);
		return;
	}
	for (size_t i = 0; i < HB_ARRAY_LEN(w.expand); i++)
		if (w.expand[i][0] != NULL && hb_span_eq(m->address,
		    hb_span_str(w.expand[i][0]))) {
			for (size_t k = 1; k < 4 && w.expand[i][k]; k++)
				send_item(p, m->ref, w.expand[i][k]);
			send_end(p, m->ref, w.expand_result != HB_RESULT_NONE
				? &end : &ok);
			return;
		}
	if (hb_span_eq(hb_span_from(m->address, at), HB_SPAN("@gone.example")))
		snprintf(line, sizeof(line), "%.*s discard:",
		    HB_SPAN_ARG(m->address));
	else
		snprintf(line, sizeof(line), "%.*s mx://%.*s",
		    HB_SPAN_ARG(m->address),
		    HB_SPAN_ARG(hb_span_from(m->address, at + 1)));
	send_item(p, m->ref, line);
	send_end(p, m->ref, &ok);
}

/* --- delivery and helpers --- */

static struct seen_job *
job_of(uint32_t no)
{
	for (size_t i = w.njobs; i-- > 0;)
		if (w.jobs[i].no == no)
			return &w.jobs[i];
	fail_msg("frame of an unknown job");
	abort();
}

static void
text(char *dst, size_t size, struct hb_span s)
{
	assert_int_equal(hb_span_copy(s, dst, size), 0);
}

static struct seen_job *
new_job(uint32_t no, struct hb_span envelope)
{
	struct seen_job *j = &w.jobs[w.njobs++];
	struct hb_env e;

	assert_true(w.njobs < HB_ARRAY_LEN(w.jobs));
	hb_buf_free(&j->body);
	*j = (struct seen_job){ .body = HB_BUF_INIT(0) };
	assert_int_equal(hb_tlv_decode(&hb_env_record, envelope, &e), 0);
	j->no = no;
	j->id = e.id;
	j->flags = e.flags;
	j->ret = e.ret;
	text(j->envid, sizeof(j->envid), e.envid);
	text(j->sender, sizeof(j->sender), e.sender);
	return j;
}

static void
add_rcpt(struct seen_job *j, struct hb_span rec)
{
	struct hb_rcpt r;

	assert_int_equal(hb_tlv_decode(&hb_rcpt_record, rec, &r), 0);
	text(j->rcpts[j->n], 256, r.address);
	text(j->orcpt[j->n], sizeof(j->orcpt[0]), r.orcpt);
	j->notify[j->n] = r.notify;
	j->idx[j->n++] = r.idx;
	assert_true(j->n < HB_ARRAY_LEN(j->rcpts));
}

void
seen_on_job(void *ctx, struct hb_peer *p, const struct ipc_job *m)
{
	struct seen_job *j = new_job(m->job, m->env);

	j->final = m->final;
	j->flush = m->flush;
	text(j->route, sizeof(j->route), m->route);
	text(j->domain, sizeof(j->domain), m->domain);
}

void
seen_on_local_job(void *ctx, struct hb_peer *p, const struct ipc_local_job *m)
{
	struct seen_job *j = new_job(m->job, m->env);

	j->local = true;
	j->kind = (enum hb_local_kind)m->kind;
	text(j->route, sizeof(j->route), m->target);
	text(j->domain, sizeof(j->domain), m->user);
	add_rcpt(j, m->rcpt);
}

void
seen_on_job_rcpt(void *ctx, struct hb_peer *p, const struct ipc_job_rcpt *m)
{
	add_rcpt(job_of(m->job), m->rcpt);
}

void
seen_on_job_body(void *ctx, struct hb_peer *p, const struct ipc_job_body *m)
{
	hb_buf_add(&job_of(m->job)->body, m->bytes);
}

void
seen_on_job_file(void *ctx, struct hb_peer *p, const struct ipc_job_file *m,
    int fd)
{
	struct seen_job *j = job_of(m->job);
	char part[65536];
	ssize_t n;
	off_t at = 0;

	j->file = true;
	while ((n = pread(fd, part, sizeof(part), at)) > 0) {
		hb_buf_add(&j->body, hb_span(part, (size_t)n));
		at += n;
	}
	close(fd);
}

static void
send_result(struct hb_peer *p, const struct seen_job *j, size_t i)
{
	struct hb_outcome o = {
		.idx = j->idx[i],
		.result = w.result,
		.code = w.result == HB_RESULT_OK ? 250
		    : w.result == HB_RESULT_DEFER ? 450 : 550,
		.status = w.result == HB_RESULT_OK ? HB_SPAN("2.0.0")
		    : w.result == HB_RESULT_DEFER ? HB_SPAN("4.2.0")
						  : HB_SPAN("5.1.1"),
		.reason = w.unreachable ? HB_REASON_CONNECT_REFUSED
					: HB_REASON_REMOTE_REPLY,
		.text = HB_SPAN("said the remote server"),
		.mx = HB_SPAN("mx.example"),
		.addr = HB_SPAN("192.0.2.1"),
		.tls = HB_SPAN("TLSv1.3/dane"),
		.sts = HB_SPAN("enforce"),
		.policy_id = HB_SPAN("20261201"),
		.dane = HB_DANE_USABLE,
		.from_remote = 1,
		.dsn_capable = w.dsn_capable,
		.handed = w.handed,
	};
	struct hb_buf rec = HB_BUF_INIT(0);
	struct ipc_job_result m = { .job = j->no, .id = j->id };

	if (w.status != NULL)
		o.status = hb_span_str(w.status);
	if (w.own_word) {
		o.reason = HB_REASON_REQUIRETLS_MISSING;
		o.from_remote = 0;
	}
	if (w.reason != HB_REASON_NONE)
		o.reason = w.reason;
	assert_int_equal(hb_tlv_encode(&hb_outcome_record, &o, &rec), 0);
	m.outcome = hb_buf_span(&rec);
	hb_peer_post(p, HB_IPC_JOB_RESULT, &m, -1);
	hb_buf_free(&rec);
}

static void
finish_job(struct hb_peer *p, const struct seen_job *j)
{
	struct ipc_job_done m = { .job = j->no,
		.unreachable = w.unreachable };

	for (size_t i = 0; i < j->n; i++)
		send_result(p, j, i);
	hb_peer_post(p, HB_IPC_JOB_DONE, &m, -1);
}

void
seen_on_job_start(void *ctx, struct hb_peer *p, const struct ipc_job_start *m)
{
	struct seen_job *j = job_of(m->job);

	j->started = true;
	j->peer = p;
	if (!w.mute)
		finish_job(p, j);
}

void
seen_on_job_ack(void *ctx, struct hb_peer *p, const struct ipc_job_ack *m)
{
	w.acks++;
}

static void
on_peer_gone(void *ctx, struct hb_peer *p, const char *why)
{
	if (p == delivery)
		delivery = NULL;
}

static bool
router_is_gone(void)
{
	return q_side[HB_ROLE_ROUTER] == NULL;
}

static bool
delivery_is_gone(void)
{
	return delivery == NULL;
}

/* --- parent --- */

static const struct hb_peer_ops helper_ops = {
	.on = seen_on_frame, .on_close = on_peer_gone
};

void
seen_on_helper_start(void *ctx, struct hb_peer *p,
    const struct ipc_helper_start *m)
{
	struct ipc_helper out = { .ticket = m->ticket };
	int sv[2];

	w.helpers++;
	text(w.account, sizeof(w.account), m->user);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	hb_peer_post(p, HB_IPC_HELPER, &out, sv[0]);
	close(sv[0]);
	hb_peer_new(loop, sv[1], HB_ROLE_HELPER, HB_ROLE_QUEUE, 0,
	    &helper_ops, NULL);
}

/* --- control --- */

void
seen_on_ctl_item(void *ctx, struct hb_peer *p, const struct ipc_ctl_item *m)
{
	w.said_addresses += hb_span_eq(m->key, HB_SPAN("address"));
	hb_buf_addf(&w.said, "%.*s=", HB_SPAN_ARG(m->key));
	if (m->kind == HB_ITEM_STR)
		hb_buf_add(&w.said, m->str);
	else if (m->kind == HB_ITEM_INT)
		hb_buf_addf(&w.said, "%lld", (long long)m->num);
	hb_buf_adds(&w.said, "\n");
}

void
seen_on_ctl_end(void *ctx, struct hb_peer *p, const struct ipc_ctl_end *m)
{
	w.ended = true;
	w.exit_code = m->exit;
}

void
seen_on_store_value(void *ctx, struct hb_peer *p,
    const struct ipc_store_value *m)
{
	fail_msg("a value that nobody asked for");
}

void
seen_on_store_done(void *ctx, struct hb_peer *p, const struct ipc_store_done *m)
{
	fail_msg("the end of what nobody asked for");
}

static const struct hb_peer_ops others_ops = {
	.on = seen_on_frame, .on_close = on_peer_gone
};

/* --- the queue's side --- */

static bool
queue_on(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	if (type != HB_IPC_CTL)
		return q_on_frame(env.ctx, p, type, m, fd);
	q_ctl(env.ctx, p, &m->ctl);
	return true;
}

static void
on_lost(void *ctx, struct hb_peer *p, const char *why)
{
	q_side[hb_peer_role(p)] = NULL;
	q_peer_lost(env.ctx, p);
}

static void
on_drain(void *ctx, struct hb_peer *p)
{
	q_peer_drained(env.ctx, p);
}

static const struct hb_peer_ops queue_ops = {
	.on = queue_on, .on_close = on_lost, .on_drain = on_drain
};

static struct hb_peer *
link_peer(enum hb_role role)
{
	struct hb_peer *theirs;
	int sv[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	q_side[role] = hb_peer_new(loop, sv[0], HB_ROLE_QUEUE, role, 0,
	    &queue_ops, &env);
	theirs = hb_peer_new(loop, sv[1], role, HB_ROLE_QUEUE, 0, &others_ops,
	    NULL);
	if (role == HB_ROLE_PARENT)
		env.parent = q_side[role];
	else
		q_peer_up(env.ctx, q_side[role]);
	return theirs;
}

static void
claims_end(void)
{
	struct ipc_claims_end m = { 0 };

	hb_peer_post(delivery, HB_IPC_CLAIMS_END, &m, -1);
}

static void
queue_up(void)
{
	struct hb_buf err = HB_BUF_INIT(0), drop = HB_BUF_INIT(0);

	env.ctx = q_new(&env, dir, &err);
	assert_non_null(env.ctx);
	hb_buf_addf(&drop, "%s/maildrop%c", dir, 0);
	q_drop_start(env.ctx, q_drop_new(loop, (const char *)drop.p), dir);
	hb_buf_free(&drop);
	hb_buf_free(&err);
	parent = link_peer(HB_ROLE_PARENT);
	smtpd = link_peer(HB_ROLE_SMTPD);
	router = link_peer(HB_ROLE_ROUTER);
	delivery = link_peer(HB_ROLE_DELIVERY);
	control = link_peer(HB_ROLE_CONTROL);
}

static void
queue_down(void)
{
	struct hb_peer **theirs[] = { &parent, &smtpd, &router, &delivery,
		&control };
	struct q *q = env.ctx;

	for (size_t i = 0; i < HB_ARRAY_LEN(theirs); i++)
		hb_peer_free(theirs[i]);
	q_free(&q);
	for (size_t i = 0; i < HB_ROLE_COUNT; i++)
		hb_peer_free(&q_side[i]);
}

/* With a reader the text is a person's: what it leaves out has defaults. */
static int
no_file(void *ctx, const char *path, struct hb_buf *content)
{
	return -2;
}

static void
read_conf(const char *more)
{
	struct hb_buf t = HB_BUF_INIT(0);
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf_source src = { .file = "test", .dir = "/",
		.read = no_file };

	hb_buf_addf(&t, "hostname host.example\nworkers delivery=1\nlab on\n"
	    "spool %s\ndeliver maildir /var/mail/%%d/%%u\n%s", dir, more);
	src.text = hb_buf_span(&t);
	conf = hb_conf_parse(&src, &report);
	if (report.errors > 0)
		print_message("%.*s\n", HB_SPAN_ARG(hb_buf_span(&report.text)));
	assert_int_equal(report.errors, 0);
	env.conf = conf;
	hb_buf_free(&t);
	hb_buf_free(&report.text);
}

/* What the log says of deliveries, or another event, from the last log_begin
 * on. */
static struct hb_buf logged;
static const char *logged_event;
static struct hb_buf large_text; /* the body of the last send_large */

static void
start(const char *more)
{
	char path[128];

	snprintf(dir, sizeof(dir), "/tmp/test_queue.XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/maildrop", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	memset(&w, 0, sizeof(w));
	w.result = HB_RESULT_OK;
	w.said = HB_BUF_INIT(0);
	ahead = 0;
	hb_clock_set_ahead(0);
	loop = hb_loop_new();
	env = (struct hb_role_env){ .loop = loop, .role = HB_ROLE_QUEUE };
	read_conf(more);
	queue_up();
	claims_end();
}

static int
setup(void **state)
{
	start("");
	return 0;
}

static int
unlink_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static int
teardown(void **state)
{
	queue_down();
	run_for(1); /* hooks that were armed are freed at the end of a turn */
	hb_loop_free(&loop);
	hb_conf_free(&conf);
	for (size_t i = 0; i < HB_ARRAY_LEN(w.jobs); i++)
		hb_buf_free(&w.jobs[i].body);
	hb_buf_free(&w.said);
	hb_buf_free(&logged);
	hb_buf_free(&large_text);
	hb_log_set_level(HB_LOG_ERROR);
	return nftw(dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
take_record(void *ctx, enum hb_level level, struct hb_span record)
{
	if (memmem(record.p, record.n, logged_event, strlen(logged_event)) !=
	    NULL)
		hb_buf_add(&logged, record);
}

static void
log_begin_of(const char *event)
{
	logged_event = event;
	hb_buf_free(&logged);
	logged = HB_BUF_INIT(0);
	hb_log_set_sink(take_record, NULL);
	hb_log_set_level(HB_LOG_INFO);
}

static void
log_begin(void)
{
	log_begin_of(" ev=delivery ");
}

/* How many of them hold WORD. */
static unsigned
log_count(const char *word)
{
	struct hb_span rest = hb_buf_span(&logged);
	unsigned n = 0;

	while (rest.n > 0) {
		struct hb_span line = hb_span_cut(&rest, '\n');

		n += memmem(line.p, line.n, word, strlen(word)) != NULL;
	}
	return n;
}

/* --- sending a message --- */

static uint64_t next_id = 0x1000;
static uint32_t next_txn = 1;
static unsigned answers_before;

static bool
answered(void)
{
	return w.answers > answers_before;
}

static void
post_env(const char *sender)
{
	struct hb_buf rec = HB_BUF_INIT(0);
	struct hb_env e = { .id = ++next_id, .arrived_ms = hb_now_ms(),
		.sender = hb_span_str(sender), .flags = w.flags,
		.ret = w.ret, .envid = hb_span_str(w.envid) };
	struct ipc_txn_begin m = { .txn = next_txn };

	assert_int_equal(hb_tlv_encode(&hb_env_record, &e, &rec), 0);
	m.env = hb_buf_span(&rec);
	hb_peer_post(smtpd, HB_IPC_TXN_BEGIN, &m, -1);
	hb_buf_free(&rec);
}

static void
post_rcpt(const char *address, uint32_t idx)
{
	struct hb_buf rec = HB_BUF_INIT(0);
	struct hb_rcpt r = { .idx = idx, .address = hb_span_str(address),
		.notify = w.notify, .orcpt = hb_span_str(w.orcpt) };
	struct ipc_txn_rcpt m = { .txn = next_txn };

	assert_int_equal(hb_tlv_encode(&hb_rcpt_record, &r, &rec), 0);
	m.rcpt = hb_buf_span(&rec);
	hb_peer_post(smtpd, HB_IPC_TXN_RCPT, &m, -1);
	hb_buf_free(&rec);
}

#define body_text                                                              \
	"Subject: test\r\nMessage-ID: <1@there>\r\n"                            \
	"\r\nHello\r\n..dot\r\n"

static void
post_parts(struct hb_span head, struct hb_span body)
{
	struct ipc_txn_data d = { .txn = next_txn };
	struct ipc_txn_head h = { .txn = next_txn };
	struct ipc_txn_commit c = { .txn = next_txn, .size = body.n,
		.crc = hb_crc32c(0, body), .flags = w.commit_flags };

	for (; head.n > 0; head = hb_span_from(head, h.bytes.n)) {
		h.bytes = hb_span_head(head, HB_MAX_IPC_BODY);
		hb_peer_post(smtpd, HB_IPC_TXN_HEAD, &h, -1);
	}
	for (struct hb_span s = body; s.n > 0; s = hb_span_from(s, d.bytes.n)) {
		d.bytes = hb_span_head(s, HB_MAX_IPC_BODY);
		hb_peer_post(smtpd, HB_IPC_TXN_DATA, &d, -1);
	}
	hb_peer_post(smtpd, HB_IPC_TXN_COMMIT, &c, -1);
}

static void
post_body(struct hb_span message)
{
	size_t end = hb_span_search(message, HB_SPAN("\r\n\r\n")) + 2;
	size_t n = end < message.n ? end : 0;

	post_parts(hb_span_head(message, n), hb_span_from(message, n));
}

/* RCPTS: words.  Returns the id when it is durable. */
static uint64_t
send_mail(const char *sender, const char *rcpts)
{
	struct hb_span rest = hb_span_str(rcpts), one;
	uint32_t idx = 0;

	answers_before = w.answers;
	post_env(sender);
	while ((one = hb_span_word(&rest)).n > 0) {
		char address[256];

		text(address, sizeof(address), one);
		post_rcpt(address, idx++);
	}
	post_body(hb_span_str(body_text));
	next_txn++;
	run_until(answered);
	assert_int_equal(w.code, 250);
	return next_id;
}

static size_t want_jobs;

static bool
jobs_came(void)
{
	return w.njobs >= want_jobs && w.jobs[want_jobs - 1].started;
}

static struct seen_job *
wait_job(size_t n)
{
	want_jobs = n;
	run_until(jobs_came);
	return &w.jobs[n - 1];
}

static bool
queue_is_empty(void)
{
	struct q *q = env.ctx;
	struct q_sched_stats st;

	q_sched_stats(q->sched, &st);
	return st.messages == 0 && TAILQ_EMPTY(&q->jobs) &&
	    q_spool_count(q->spool) == 0;
}

static bool
job_is_over(void)
{
	struct q *q = env.ctx;

	return TAILQ_EMPTY(&q->jobs);
}

static void
ask(enum hb_ctl_verb verb, const char *arg)
{
	struct ipc_ctl m = { .ref = 1, .verb = verb, .arg = hb_span_str(arg) };

	hb_buf_clear(&w.said);
	w.ended = false;
	hb_peer_post(control, HB_IPC_CTL, &m, -1);
}

static bool
control_answered(void)
{
	return w.ended;
}

static const char *
said(void)
{
	run_until(control_answered);
	hb_buf_add(&w.said, hb_span("", 1));
	return (const char *)w.said.p + w.said.off;
}

/* --- tests --- */

static void
message_goes_through(void **state)
{
	struct seen_job *j;

	send_mail("a@here.example", "b@there.example c@there.example");
	j = wait_job(1);
	assert_string_equal(j->route, "mx://there.example");
	assert_string_equal(j->domain, "there.example");
	assert_string_equal(j->sender, "a@here.example");
	assert_int_equal(j->n, 2);
	assert_string_equal(j->rcpts[0], "b@there.example");
	assert_string_equal(j->rcpts[1], "c@there.example");
	assert_span(hb_buf_span(&j->body), body_text);
	run_until(queue_is_empty);
	run_for(5);
	assert_int_equal(w.acks, 1);
	assert_int_equal(w.njobs, 1);
	assert_true(w.space > 0);
}

static unsigned disk_begins, disk_ends;
static char disk_text[128];

static void
count_disk(void *ctx, enum hb_event ev, bool on, struct hb_span what,
    struct hb_span text)
{
	if (ev != HB_EV_DISK)
		return;
	assert_span(what, dir);
	snprintf(disk_text, sizeof(disk_text), "%.*s", HB_SPAN_ARG(text));
	disk_begins += on;
	disk_ends += !on;
}

static uint64_t space_wanted;

static bool
smtpd_knows_the_space(void)
{
	return w.space == space_wanted;
}

static void
sees_room(uint64_t bytes)
{
	space_wanted = bytes;
	q_room_seen(env.ctx, bytes);
	run_until(smtpd_knows_the_space);
}

/* Room is told whenever it decides over a message, not only when the disk
 * begins and ends to be full. */
static void
test_S_11_room_is_told(void **state)
{
	const uint64_t mib = 1 << 20;

	disk_begins = disk_ends = 0;
	hb_trouble_tell(count_disk, NULL);
	sees_room(30 * mib);
	assert_int_equal(disk_begins, 1);
	assert_non_null(strstr(disk_text, "30 MiB"));
	sees_room(0);
	assert_non_null(strstr(disk_text, "full"));
	sees_room(1);
	sees_room(40 * mib);
	/* at the limit it neither ends nor begins anew */
	sees_room(53 * mib);
	assert_int_equal(disk_ends, 0);
	q_room_seen(env.ctx, 66 * mib);
	assert_int_equal(disk_ends, 1);
	run_for(5);
	assert_int_equal(w.space, 53 * mib); /* more than any message has */
	hb_trouble_tell(NULL, NULL);
}

static void
same_recipient_twice_is_one(void **state)
{
	send_mail("a@here.example", "b@x.example b@x.example");
	assert_int_equal(wait_job(1)->n, 1);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 1);
}

/* A smtpd that is not ours any more cannot fill queue's memory. */
static void
open_messages_have_a_bound(void **state)
{
	struct q *q = env.ctx;

	q->txn_max = 30000;
	answers_before = w.answers;
	for (unsigned i = 0; i < 50; i++) {
		post_env("a@here.example");
		next_txn++;
	}
	run_until(answered);
	assert_int_equal(w.code, 452);
	assert_true(q->txn_bytes <= q->txn_max);
	hb_peer_free(&smtpd);
	run_for(20);
	assert_int_equal(q->txn_bytes, 0);
}

/* Nothing of it is stored, so nothing that is stored is damaged. */
static void
what_is_not_as_said_has_its_own_reason(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t crc; /* 0: the right one */
		unsigned rcpts;
		bool large;
		const char *why;
	} rows[] = {
		{ 4, 1, 1, false, "its checksum" }, { 5, 0, 1, false, "its size" },
		{ 4, 0, 0, false, "no recipient" },
		{ 4, 1, 1, true, "size or checksum" },
		{ 5, 0, 1, true, "size or checksum" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct ipc_txn_data d = { .txn = next_txn,
			.bytes = HB_SPAN("hi\r\n") };
		struct ipc_txn_large l = { .txn = next_txn };
		struct ipc_txn_commit c = { .txn = next_txn,
			.size = rows[i].size, .crc = rows[i].crc != 0
			? rows[i].crc : hb_crc32c(0, d.bytes) };

		log_begin_of(" ev=corrupt ");
		answers_before = w.answers;
		post_env("a@here.example");
		if (rows[i].rcpts > 0)
			post_rcpt("b@x.example", 0);
		hb_peer_post(smtpd, HB_IPC_TXN_DATA, &d, -1);
		large_rest = HB_SPAN_NONE;
		if (rows[i].large) {
			hb_peer_post(smtpd, HB_IPC_TXN_LARGE, &l, -1);
			run_for(20);
		}
		hb_peer_post(smtpd, HB_IPC_TXN_COMMIT, &c, -1);
		next_txn++;
		run_until(answered);
		assert_int_equal(w.code, 451);
		assert_int_equal(w.answer, HB_REASON_INTAKE_DAMAGED);
		assert_int_equal(log_count(""), 1);
		assert_int_equal(log_count(rows[i].why), 1);
		assert_true(queue_is_empty());
	}
}

static void
deferred_message_is_tried_again(void **state)
{
	w.result = HB_RESULT_DEFER;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	run_until(job_is_over);
	run_for(20);
	assert_int_equal(w.njobs, 1);
	w.result = HB_RESULT_OK;
	advance(6 * 60 * 1000);
	wait_job(2);
	run_until(queue_is_empty);
	assert_int_equal(w.asked, 2); /* the route is asked for again */
}

/* SMTP-08, DSN-05, DSN-07, DSN-08 */
static void
failure_is_told_to_the_sender_once(void **state)
{
	struct seen_job *j;
	struct hb_buf *b;

	w.result = HB_RESULT_FAIL;
	send_mail("a@here.example", "b@x.example c@x.example");
	wait_job(1);
	j = wait_job(2);
	assert_string_equal(j->sender, "");
	assert_string_equal(j->rcpts[0], "a@here.example");
	b = &j->body;
	hb_buf_add(b, hb_span("", 1));
	assert_non_null(strstr((char *)b->p, "Auto-Submitted: auto-replied"));
	assert_non_null(strstr((char *)b->p,
	    "Final-Recipient: rfc822; c@x.example\r\nAction: failed\r\n"
	    "Status: 5.1.1\r\nRemote-MTA: dns; mx.example\r\n"
	    "Diagnostic-Code: smtp; 550 said the remote server\r\n"));
	assert_non_null(strstr((char *)b->p, "\r\n..dot\r\n"));
	/* the DSN fails too: nobody is told about it */
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 2);
}

static void
lifetime_ends_with_a_final_attempt_and_a_dsn(void **state)
{
	struct seen_job *j;

	w.result = HB_RESULT_DEFER;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	run_until(job_is_over);
	log_begin();
	advance(5 * 24 * 3600 * (int64_t)1000);
	assert_true(wait_job(2)->final);
	j = wait_job(3);
	/* the last attempt ended in this, and in nothing before */
	assert_int_equal(log_count(" rcpt=b@x.example "), 1);
	assert_int_equal(log_count(" result=fail "), 1);
	assert_int_equal(log_count(" reason=remote-reply expired=yes "), 1);
	assert_string_equal(j->rcpts[0], "a@here.example");
	hb_buf_add(&j->body, hb_span("", 1));
	assert_non_null(strstr((char *)j->body.p, "Status: 5.4.7"));
	assert_non_null(strstr((char *)j->body.p,
	    "X-Hauberk-Reason: remote-reply\r\nX-Hauberk-Expired: yes\r\n"));
}

/* STS-29: an attempt that was not said to be the last one is none, however
 * late it ends. */
static void
lifetime_over_during_an_attempt_brings_a_final_one(void **state)
{
	w.result = HB_RESULT_DEFER;
	w.mute = true;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	advance(5 * 24 * 3600 * (int64_t)1000);
	w.mute = false;
	finish_job(delivery, &w.jobs[0]);
	assert_string_equal(wait_job(2)->rcpts[0], "b@x.example");
	assert_true(w.jobs[1].final);
	assert_string_equal(wait_job(3)->rcpts[0], "a@here.example");
}

static void
delay_is_told_after_delay_warning(void **state)
{
	struct seen_job *j;

	w.result = HB_RESULT_DEFER;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	run_until(job_is_over);
	w.result = HB_RESULT_OK;
	w.mute = true;
	advance(4 * 3600 * 1000 + 1000);
	j = wait_job(3); /* the retry, and the warning */
	if (j->sender[0] != 0)
		j = &w.jobs[1];
	hb_buf_add(&j->body, hb_span("", 1));
	assert_non_null(strstr((char *)j->body.p, "Action: delayed"));
	assert_non_null(strstr((char *)j->body.p, "Status: 4.2.0"));
}

/* A disk without room. */
static bool disk_is_full;

int
fstatvfs(int fd, struct statvfs *v)
{
	*v = (struct statvfs){ .f_frsize = 4096, .f_blocks = 1 << 24,
		.f_bfree = 1 << 23, .f_bavail = disk_is_full ? 0 : 1 << 23 };
	return 0;
}

static void
disk_becomes(bool full)
{
	struct q *q = env.ctx;

	disk_is_full = full;
	q_spool_space_look(q->spool);
	assert_int_equal(q_spool_space(q->spool) == 0, full);
}

/* Whether the recipient waits for a retry, or in the line of a destination. */
static void
a_delay_that_found_a_full_disk_is_told_later(void **state)
{
	for (int i = 0; i < 2; i++) {
		struct seen_job *j;

		w.njobs = 0;
		w.result = HB_RESULT_DEFER;
		w.unreachable = i == 1;
		send_mail("a@here.example", "b@x.example");
		wait_job(1);
		run_until(job_is_over);
		disk_becomes(true);
		advance(4 * 3600 * 1000 + 1000);
		wait_job(2);
		run_until(job_is_over);
		run_for(20);
		assert_int_equal(w.njobs, 2);
		disk_becomes(false);
		w.result = HB_RESULT_OK;
		w.unreachable = false;
		advance(11 * 1000);
		j = wait_job(3);
		assert_string_equal(j->rcpts[0], "a@here.example");
		hb_buf_add(&j->body, hb_span("", 1));
		assert_non_null(strstr((char *)j->body.p, "Action: delayed"));
		/* and once */
		advance(4 * 3600 * 1000);
		run_until(queue_is_empty);
		assert_int_equal(w.njobs, 4);
	}
}

static void
lost_worker_loses_no_job(void **state)
{
	w.mute = true;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	hb_peer_free(&delivery);
	run_for(20);
	w.mute = false;
	delivery = link_peer(HB_ROLE_DELIVERY);
	claims_end();
	assert_string_equal(wait_job(2)->rcpts[0], "b@x.example");
	run_until(queue_is_empty);
}

static void
lost_router_is_asked_again(void **state)
{
	w.router_mute = true;
	send_mail("a@here.example", "b@x.example");
	run_for(20);
	assert_int_equal(w.asked, 1);
	hb_peer_free(&router);
	run_for(20);
	w.router_mute = false;
	router = link_peer(HB_ROLE_ROUTER);
	wait_job(1);
	run_until(queue_is_empty);
	assert_int_equal(w.asked, 2);
}

static void
restart_keeps_what_waits_and_believes_claims(void **state)
{
	struct seen_job *j;
	struct ipc_job_claim m;

	w.mute = true;
	send_mail("a@here.example", "b@x.example c@y.example");
	j = wait_job(1);
	wait_job(2);
	queue_down();
	queue_up();
	m = (struct ipc_job_claim){ .job = j->no, .id = j->id,
		.idx = j->idx[0] };
	hb_peer_post(delivery, HB_IPC_JOB_CLAIM, &m, -1);
	claims_end();
	w.mute = false;
	wait_job(3); /* the other recipient, which nobody claimed */
	run_for(30);
	assert_int_equal(w.njobs, 3);
	assert_int_not_equal(w.jobs[2].idx[0], j->idx[0]);
	finish_job(delivery, j);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 3);
}

static void
kept_results_count_after_a_restart(void **state)
{
	struct seen_job *j;

	w.mute = true;
	log_begin();
	send_mail("a@here.example", "b@x.example");
	j = wait_job(1);
	queue_down();
	queue_up();
	finish_job(delivery, j);
	claims_end();
	run_until(queue_is_empty);
	run_for(10);
	assert_int_equal(log_count(""), 1);
	assert_int_equal(log_count(" rcpt=b@x.example "), 1);
	assert_int_equal(w.njobs, 1);
	assert_int_equal(w.acks, 1);
}

/* A worker is believed about the jobs it was given, and about old ones until
 * its claims are over. */
static void
results_count_for_the_message_they_name(void **state)
{
	struct seen_job *j, lie;

	w.mute = true;
	send_mail("a@here.example", "b@x.example");
	j = wait_job(1);
	lie = *j;
	lie.id++;
	send_result(delivery, &lie, 0);
	run_for(20);
	assert_false(queue_is_empty());
	finish_job(delivery, j);
	run_until(queue_is_empty);
	assert_non_null(delivery);
}

static void
strange_job_numbers_close_the_worker(void **state)
{
	struct seen_job *j, lie;

	w.mute = true;
	send_mail("a@here.example", "b@x.example");
	j = wait_job(1);
	lie = *j;
	lie.no++;
	send_result(delivery, &lie, 0);
	run_until(delivery_is_gone);
	w.mute = false;
	delivery = link_peer(HB_ROLE_DELIVERY);
	claims_end();
	wait_job(2); /* the result did not count */
	run_until(queue_is_empty);
}

static void
claims_out_of_their_time_close_the_worker(void **state)
{
	struct ipc_job_claim m = { .job = 7, .idx = 0 };

	hb_peer_post(delivery, HB_IPC_JOB_CLAIM, &m, -1);
	run_until(delivery_is_gone);
	delivery = link_peer(HB_ROLE_DELIVERY);
	claims_end();
	claims_end();
	run_until(delivery_is_gone);
}

static bool
both_acknowledged(void)
{
	return w.acks == 2;
}

static void
failure_recorded_before_a_crash_is_told_after_it(void **state)
{
	w.mute = true;
	w.result = HB_RESULT_FAIL;
	send_mail("a@here.example", "b@x.example c@y.example");
	wait_job(2);
	finish_job(delivery, &w.jobs[0]);
	finish_job(delivery, &w.jobs[1]);
	run_until(both_acknowledged);
	queue_down(); /* the DSN may be made by now, it is not delivered */
	w.mute = false;
	w.result = HB_RESULT_OK;
	w.njobs = 0;
	queue_up();
	claims_end();
	assert_string_equal(wait_job(1)->rcpts[0], "a@here.example");
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 1);
}

static void
alias_is_expanded_and_merged(void **state)
{
	w.expand[0][0] = "team@here.example";
	w.expand[0][1] = "b@x.example mx://x.example";
	w.expand[0][2] = "c@x.example mx://x.example owner-team@here.example";
	w.expand[0][3] = "b@x.example mx://x.example";
	send_mail("a@here.example", "team@here.example");
	wait_job(2);
	assert_int_equal(w.jobs[0].n, 1);
	assert_int_equal(w.jobs[1].n, 1);
	for (int i = 0; i < 2; i++)
		assert_string_equal(w.jobs[i].sender,
		    w.jobs[i].rcpts[0][0] == 'b' ? "a@here.example"
						 : "owner-team@here.example");
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 2);
}

/* The mailbox of alice, however it is written and whatever leads there. */
static void
alice_and_team(void)
{
	w.expand[0][0] = "team@here.example";
	w.expand[0][1] = "alice@here.example local:alice owner-team@here.example";
	w.expand[0][2] = "bob@here.example local:bob owner-team@here.example";
	w.expand[1][0] = "alice@here.example";
	w.expand[1][1] = "alice@here.example local:alice";
	w.expand[2][0] = "Alice@here.example";
	w.expand[2][1] = "Alice@here.example local:alice";
	w.expand[3][0] = "all@here.example";
	w.expand[3][1] = "alice@here.example local:alice";
	w.expand[3][2] = "bob@here.example local:bob";
}

static void
test_F_14_E_3_M_15_one_mailbox_gets_one_copy(void **state)
{
	static const char *const to[] = {
		"team@here.example alice@here.example Alice@HERE.example",
		"Alice@HERE.example all@here.example team@here.example",
	};

	alice_and_team();
	for (size_t i = 0; i < HB_ARRAY_LEN(to); i++) {
		w.njobs = 0;
		send_mail("a@there.example", to[i]);
		wait_job(2);
		run_until(queue_is_empty);
		assert_int_equal(w.njobs, 2);
		assert_true(strcasecmp(w.jobs[0].rcpts[0],
		    w.jobs[1].rcpts[0]) != 0);
	}
}

/* Alice has her copy when the queue learns, in another life, who is in the
 * team. */
static void
test_E_3_a_copy_that_was_delivered_counts_after_a_restart(void **state)
{
	alice_and_team();
	w.mute_for = "team@here.example";
	send_mail("a@there.example", "alice@here.example team@here.example");
	assert_string_equal(wait_job(1)->rcpts[0], "alice@here.example");
	run_until(job_is_over);
	queue_down();
	w.mute_for = NULL;
	queue_up();
	claims_end();
	assert_string_equal(wait_job(2)->rcpts[0], "bob@here.example");
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 2);
}

/* A mailbox that waits, known from its line alone. */
static void
test_E_3_a_copy_that_waits_counts(void **state)
{
	struct q *q;

	alice_and_team();
	w.mute_for = "team@here.example";
	w.mute = true;
	send_mail("a@there.example", "alice@here.example team@here.example");
	wait_job(1);
	w.mute_for = NULL;
	q = env.ctx;
	q_envelope_drop(q, q_sched_find(q->sched, next_id));
	hb_peer_free(&router);
	run_until(router_is_gone);
	router = link_peer(HB_ROLE_ROUTER);
	w.mute = false;
	assert_string_equal(wait_job(2)->rcpts[0], "bob@here.example");
	finish_job(w.jobs[0].peer, &w.jobs[0]);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 2);
}

/* The disk: it flushes while nobody holds it up. */
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint flushes;

int
fdatasync(int fd)
{
	pthread_mutex_lock(&disk);
	flushes++;
	pthread_mutex_unlock(&disk);
	return (int)syscall(SYS_fdatasync, fd);
}

static unsigned
jobs_of(const char *address)
{
	unsigned n = 0;

	for (size_t i = 0; i < w.njobs; i++)
		n += strcmp(w.jobs[i].rcpts[0], address) == 0;
	return n;
}

static bool
all_are_asked(void)
{
	return w.asked >= 3;
}

/* The first piece of it is recorded, or on its way to the disk. */
static bool
list_is_split(void)
{
	const struct q *q = env.ctx;
	const struct sched_msg *m = q_sched_find(q->sched, next_id);

	return m != NULL && m->next_idx > 1;
}

/* Work that grows with the square of the members would take hours here. */
static void
test_A_2_a_list_of_100000_holds_up_nobody(void **state)
{
	struct q *q = env.ctx;
	uint64_t id;

	w.many = HB_MAX_ALIAS_TARGETS;
	id = send_mail("a@there.example", "many@here.example");
	run_until(list_is_split);
	send_mail("a@there.example", "b@x.example");
	/* it was answered in between */
	assert_non_null(q_sched_find(q->sched, id));
	wait_job(1);
	run_until(queue_is_empty);
	assert_int_equal(w.asked, 2);
	assert_int_equal(w.njobs, 1);
}

static void
expansion_survives_a_restart(void **state)
{
	w.expand[0][0] = "team@here.example";
	w.expand[0][1] = "b@x.example mx://x.example";
	w.expand[0][2] = "c@y.example mx://y.example";
	w.result = HB_RESULT_DEFER;
	send_mail("a@here.example", "team@here.example");
	wait_job(2);
	run_until(job_is_over);
	queue_down();
	w.expand[0][0] = NULL;
	w.result = HB_RESULT_OK;
	w.njobs = 0;
	queue_up();
	claims_end();
	advance(10 * 60 * 1000);
	wait_job(2);
	run_until(queue_is_empty);
	assert_int_equal(w.asked, 1);
}

/* The operator removes the address, or returns its mail, while what it
 * expands to is on its way to the disk: none of it comes back. */
static void
what_was_removed_while_it_was_expanded_stays_so(void **state)
{
	static const enum hb_ctl_verb verbs[] = { HB_CTL_REMOVE,
		HB_CTL_BOUNCE };

	for (size_t i = 0; i < HB_ARRAY_LEN(verbs); i++) {
		w.njobs = w.asked = 0;
		w.mute_for = NULL;
		w.expand[0][0] = "team@here.example";
		w.expand[0][1] = "b@x.example mx://x.example";
		w.expand[0][2] = "c@y.example mx://y.example";
		w.mute = true;
		w.router_mute = true;
		w.expand[1][0] = "all@z.example";
		w.expand[1][1] = "b@x.example mx://x.example";
		send_mail("", "team@here.example d@z.example all@z.example");
		run_until(all_are_asked);
		w.mute_for = "all@z.example";
		pthread_mutex_lock(&disk);
		w.router_mute = false;
		hb_peer_free(&router);
		run_until(router_is_gone);
		router = link_peer(HB_ROLE_ROUTER);
		assert_string_equal(wait_job(1)->rcpts[0], "d@z.example");
		run_for(20);
		ask(verbs[i], "here.example");
		run_for(20);
		pthread_mutex_unlock(&disk);
		(void)said();
		run_for(20);
		assert_int_equal(w.njobs, 1);
		queue_down();
		w.mute = false;
		w.mute_for = NULL;
		queue_up();
		claims_end();
		run_until(queue_is_empty);
		assert_int_equal(w.njobs, 3);
		assert_int_equal(jobs_of("d@z.example"), 2);
		/* who is meant by another address too has the copy */
		assert_int_equal(jobs_of("b@x.example"), 1);
	}
}

static void
error_route_fails_and_discard_is_silent(void **state)
{
	w.expand[0][0] = "no@here.example";
	w.expand[0][1] = "no@here.example error:5.7.1";
	w.expand[1][0] = "null@here.example";
	w.expand[1][1] = "null@here.example discard:";
	send_mail("", "null@here.example");
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 0);
}

static void
local_delivery_goes_to_a_helper(void **state)
{
	struct seen_job *j;

	w.expand[0][0] = "bob@here.example";
	w.expand[0][1] = "bob@here.example local:bob";
	send_mail("a@there.example", "bob@here.example");
	j = wait_job(1);
	assert_true(j->local);
	assert_int_equal(j->kind, HB_LOCAL_MAILDIR);
	/* the helper knows the home and fills the template in */
	assert_string_equal(j->route, "/var/mail/%d/%u");
	assert_string_equal(j->domain, "bob");
	assert_string_equal(w.account, "bob");
	assert_span(hb_buf_span(&j->body), body_text);
	run_until(queue_is_empty);
	assert_int_equal(w.helpers, 1);
}

static void
unreachable_destination_is_listed_with_its_reason(void **state)
{
	const char *s;

	w.result = HB_RESULT_DEFER;
	w.unreachable = true;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	run_until(job_is_over);
	send_mail("a@here.example", "c@x.example");
	run_for(20);
	assert_int_equal(w.njobs, 1);
	ask(HB_CTL_QUEUE, "");
	s = said();
	assert_non_null(strstr(s, "address=c@x.example\nattempts=0\n"));
	s = strstr(s, "address=c@x.example");
	assert_non_null(strstr(s, "reason=connect-refused"));
	assert_non_null(strstr(s, "mx=mx.example"));
	w.result = HB_RESULT_OK;
	w.unreachable = false;
	ask(HB_CTL_FLUSH, "all");
	wait_job(3);
	assert_true(w.jobs[2].flush);
	run_until(queue_is_empty);
}

/* A message to COUNT recipients that waits for the router after a restart. */
static struct sched_msg *
long_message_after_a_restart(unsigned count)
{
	struct hb_buf rcpts = HB_BUF_INIT(0);
	uint64_t id;

	for (unsigned i = 0; i < count; i++)
		hb_buf_addf(&rcpts, "u%u@gone.example ", i);
	w.router_mute = true;
	id = send_mail("a@there.example", hb_buf_cstr(&rcpts));
	hb_buf_free(&rcpts);
	queue_down();
	w.router_mute = false;
	w.asked = 0;
	queue_up();
	return q_sched_find(((struct q *)env.ctx)->sched, id);
}

/* What it takes to read it is spread over turns: no turn is long. */
static void
test_A_2_a_long_envelope_is_read_in_slices(void **state)
{
	struct sched_msg *m = long_message_after_a_restart(60000);
	struct q *q = env.ctx;
	struct sched_rcpt *r;
	unsigned slices = 0;
	struct q_act act;

	q_sched_next(q->sched, q_now(q), &act);
	assert_int_equal(act.kind, Q_ACT_ASK);
	r = act.rcpt;
	while (!q_ask(q, r) && slices++ < 100) {
		assert_null(m->user);
		/* the same one is the next */
		q_sched_next(q->sched, q_now(q), &act);
		assert_int_equal(act.kind, Q_ACT_ASK);
		assert_ptr_equal(act.rcpt, r);
	}
	assert_true(slices >= 3 && slices < 10);
	assert_non_null(m->user);
	assert_null(q->reading);
	assert_int_equal(q_envelope_get(q, m)->n, 60000);
	/* whoever cannot wait reads it at once; the rest is forgotten */
	q_envelope_drop(q, m);
	assert_false(q_envelope_ready(q, m));
	assert_non_null(q->reading);
	assert_int_equal(q_envelope_get(q, m)->n, 60000);
	assert_true(q_envelope_ready(q, m));
	q_envelope_drop(q, m);
	assert_null(q->reading);
}

static void
test_A_2_long_envelopes_are_read_while_the_queue_is_listed(void **state)
{
	struct sched_msg *m = long_message_after_a_restart(1000);
	struct q *q = env.ctx;
	struct hb_buf other = HB_BUF_INIT(0);

	/* it asks for both, and there is one at a time */
	for (unsigned i = 0; i < 300; i++)
		hb_buf_addf(&other, "u%u@gone.example ", i);
	w.router_mute = true;
	send_mail("a@there.example", hb_buf_cstr(&other));
	hb_buf_free(&other);
	q_envelope_drop(q, m);
	q_envelope_drop(q, q_sched_find(q->sched, next_id));
	ask(HB_CTL_QUEUE, "gone.example");
	run_until(control_answered);
	assert_non_null(m->user);
	assert_non_null(q_sched_find(q->sched, next_id)->user);
	hb_peer_free(&router);
	run_until(router_is_gone);
	w.router_mute = false;
	w.asked = 0;
	q_envelope_drop(q, m);
	router = link_peer(HB_ROLE_ROUTER);
	run_until(queue_is_empty);
	assert_int_equal(w.asked, 1300);
}

/* More than a channel may hold (16 MiB): the list goes out in pieces, within
 * one message too. */
static void
long_lists_go_out_in_pieces(void **state)
{
	enum { MSGS = 3, RCPTS = 20000 };
	char domain[241];
	struct hb_buf rcpts = HB_BUF_INIT(0);

	w.router_mute = true;
	memset(domain, 'x', sizeof(domain));
	for (size_t i = 60; i < 240; i += 60)
		domain[i] = '.';
	domain[240] = '\0';
	for (unsigned i = 0; i < RCPTS; i++)
		hb_buf_addf(&rcpts, "u%u@%s ", i, domain);
	hb_buf_add(&rcpts, hb_span("", 1));
	for (unsigned i = 0; i < MSGS; i++)
		send_mail("a@here.example", (const char *)rcpts.p);
	ask(HB_CTL_QUEUE, "");
	(void)said();
	assert_int_equal(w.said_addresses, MSGS * RCPTS);
	assert_true(w.said.n > 16 << 20);
	hb_buf_free(&rcpts);
}

static void
operator_holds_releases_and_removes(void **state)
{
	char id[17];

	w.result = HB_RESULT_DEFER;
	hb_msgid_format(send_mail("a@here.example", "b@x.example c@y.example"),
	    id);
	wait_job(2);
	run_until(job_is_over);
	ask(HB_CTL_HOLD, id);
	assert_non_null(strstr(said(), "messages=1"));
	queue_down();
	queue_up();
	claims_end();
	ask(HB_CTL_QUEUE, id);
	assert_non_null(strstr(said(), "state=held"));
	advance(60 * 60 * 1000);
	run_for(30);
	assert_int_equal(w.njobs, 2);
	ask(HB_CTL_REMOVE, "y.example");
	(void)said();
	w.result = HB_RESULT_OK;
	ask(HB_CTL_RELEASE, id);
	(void)said();
	assert_string_equal(wait_job(3)->rcpts[0], "b@x.example");
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 3);
	ask(HB_CTL_SHOW, id);
	(void)said();
	assert_int_equal(w.exit_code, 1);
}

static void
operator_sees_message_and_trace(void **state)
{
	char id[17];
	const char *s;

	w.result = HB_RESULT_DEFER;
	hb_msgid_format(send_mail("a@here.example", "b@x.example"), id);
	wait_job(1);
	run_until(job_is_over);
	ask(HB_CTL_SHOW, id);
	s = said();
	assert_non_null(strstr(s, "sender=a@here.example\n"));
	assert_non_null(strstr(s, "message=Subject: test\r\n"));
	ask(HB_CTL_TRACE, id);
	s = said();
	assert_non_null(strstr(s, "event=accepted\n"));
	assert_non_null(strstr(s, "result=defer\nreason=remote-reply\n"));
	w.result = HB_RESULT_OK;
	ask(HB_CTL_BOUNCE, id);
	(void)said();
	assert_string_equal(wait_job(2)->rcpts[0], "a@here.example");
	run_until(queue_is_empty);
}

/* Turns a byte over in the last record of the message, which is in memory no
 * more. */
static void
damage_last_record(uint64_t id)
{
	static unsigned char bytes[1 << 20];
	struct q *q = env.ctx;
	char path[128];
	size_t at = 0;
	ssize_t n;
	int fd;

	q_envelope_drop(q, q_sched_find(q->sched, id));
	snprintf(path, sizeof(path), "%s/log/00000001", dir);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	n = pread(fd, bytes, sizeof(bytes), 0);
	for (size_t i = 0; n > 0 && i + 40 < (size_t)n; i++)
		if (memcmp(bytes + i, &id, sizeof(id)) == 0)
			at = i + 34;
	assert_true(at > 0);
	bytes[at] ^= 1;
	assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
	close(fd);
}

static unsigned
open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static uint64_t send_large(void);

static unsigned
said_count(const char *text)
{
	struct hb_span rest = hb_buf_span(&w.said), one = hb_span_str(text);
	unsigned n = 0;
	size_t at;

	while ((at = hb_span_search(rest, one)) < rest.n) {
		rest = hb_span_from(rest, at + one.n);
		n++;
	}
	return n;
}

/* What cannot be exported stays out of the file, and out of the message after
 * it. */
static void
an_export_does_not_mix_messages(void **state)
{
	uint64_t bad, large;
	unsigned files;

	w.router_mute = true;
	bad = send_mail("a@here.example", "b@x.example");
	large = send_large();
	send_mail("a@here.example", "c@x.example");
	ask(HB_CTL_HOLD, "all");
	(void)said();
	damage_last_record(bad);
	damage_last_record(large);
	files = open_files();
	ask(HB_CTL_EXPORT, "");
	(void)said();
	assert_int_equal(w.exit_code, 1);
	assert_int_equal(said_count("Hello"), 1);
	assert_int_equal(said_count("line 7\r\n"), 0);
	assert_int_equal(open_files(), files);
}

static unsigned strays;

static bool
on_stray(void *ctx, struct hb_peer *p, enum hb_ipc_type type,
    const union hb_ipc_any *m, int fd)
{
	strays++;
	return true;
}

/* A new control asks with numbers of its own: what another one asked is not
 * for it, wherever in memory its channel is. */
static void
an_answer_is_for_the_channel_that_asked(void **state)
{
	static const struct hb_peer_ops stray_ops = { .on = on_stray,
		.on_close = on_peer_gone };
	struct ipc_ctl m = { .ref = 1, .verb = HB_CTL_SHOW };
	struct q *q = env.ctx;
	char id[17];

	w.router_mute = true;
	hb_msgid_format(send_mail("a@here.example", "b@x.example"), id);
	m.arg = hb_span_str(id);
	for (int i = 0; i < 50; i++) {
		struct hb_peer *before = q_side[HB_ROLE_CONTROL];
		int sv[2];

		hb_peer_free(&control);
		q_ctl(q, before, &m);
		q_peer_lost(q, before);
		hb_peer_free(&q_side[HB_ROLE_CONTROL]);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
		/* in this order the second gets the address of BEFORE */
		control = hb_peer_new(loop, sv[1], HB_ROLE_CONTROL,
		    HB_ROLE_QUEUE, 0, &stray_ops, NULL);
		q_side[HB_ROLE_CONTROL] = hb_peer_new(loop, sv[0],
		    HB_ROLE_QUEUE, HB_ROLE_CONTROL, 0, &queue_ops, &env);
		q_peer_up(q, q_side[HB_ROLE_CONTROL]);
		run_for(2);
	}
	assert_int_equal(strays, 0);
}

static uint64_t
send_large(void)
{
	struct ipc_txn_data d = { .txn = next_txn };
	struct ipc_txn_large l = { .txn = next_txn };
	struct ipc_txn_commit c = { .txn = next_txn };
	struct hb_span all;

	hb_buf_free(&large_text);
	large_text = HB_BUF_INIT(0);
	for (int i = 0; i < 30000; i++)
		hb_buf_addf(&large_text, "line %d\r\n", i);
	all = hb_buf_span(&large_text);
	answers_before = w.answers;
	post_env("a@here.example");
	post_rcpt("b@x.example", 0);
	d.bytes = hb_span_head(all, 1000);
	large_rest = hb_span_from(all, 1000);
	c.size = all.n;
	c.crc = hb_crc32c(0, all);
	hb_peer_post(smtpd, HB_IPC_TXN_DATA, &d, -1);
	hb_peer_post(smtpd, HB_IPC_TXN_LARGE, &l, -1);
	run_for(30);
	hb_peer_post(smtpd, HB_IPC_TXN_COMMIT, &c, -1);
	next_txn++;
	run_until(answered);
	assert_int_equal(w.code, 250);
	return next_id;
}

static void
large_message_has_a_file(void **state)
{
	struct seen_job *j;

	send_large();
	j = wait_job(1);
	assert_true(j->file);
	assert_true(hb_span_eq(hb_buf_span(&j->body),
	    hb_buf_span(&large_text)));
	run_until(queue_is_empty);
}

/* A file for a body that is no message yet. */
static void
test_T_7_a_body_is_kept(void **state)
{
	struct ipc_txn_keep m = { .txn = 4711, .id = 99 };

	kept_txn = 0;
	hb_peer_post(smtpd, HB_IPC_TXN_KEEP, &m, -1);
	run_for(30);
	assert_int_equal(kept_txn, m.txn);
	assert_true(queue_is_empty());
}

static void
write_file(const char *name, struct hb_span s)
{
	char from[128], to[128];
	FILE *f;

	snprintf(from, sizeof(from), "%s/maildrop/.new", dir);
	snprintf(to, sizeof(to), "%s/maildrop/%s", dir, name);
	f = fopen(from, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(s.p, 1, s.n, f), s.n);
	fclose(f);
	assert_int_equal(rename(from, to), 0);
}

static void
make_drop_of(const struct hb_env *e, const struct hb_rcpt *r,
    struct hb_span body, struct hb_buf *out)
{
	struct hb_buf records = HB_BUF_INIT(0);
	struct hb_drop_head h = { .body_n = body.n };

	assert_int_equal(hb_tlv_encode(&hb_env_record, e, &records), 0);
	h.env_n = (uint32_t)records.n;
	assert_int_equal(hb_drop_rcpt_put(r, &records), 0);
	h.rcpts_n = (uint32_t)records.n - h.env_n;
	hb_buf_add(&records, body);
	h.crc = hb_crc32c(0, hb_buf_span(&records));
	hb_drop_head_put(&h, out);
	hb_buf_add(out, hb_buf_span(&records));
	hb_buf_free(&records);
}

static void
make_drop(struct hb_buf *out)
{
	struct hb_env e = { .sender = HB_SPAN("a@here.example"),
		.flags = w.flags };
	struct hb_rcpt r = { .address = HB_SPAN("b@x.example") };

	make_drop_of(&e, &r, HB_SPAN(body_text), out);
}

static bool
file_is_gone(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/maildrop/2", dir);
	return access(path, F_OK) != 0;
}

static void
dropped_message_is_taken_up(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct seen_job *j;
	char path[128];
	struct stat st;

	make_drop(&b);
	write_file("1", hb_buf_span(&b));
	j = wait_job(1);
	assert_string_equal(j->rcpts[0], "b@x.example");
	assert_memory_equal(j->body.p, "Received: by host.example", 25);
	run_until(queue_is_empty);
	b.p[b.n - 1] ^= 1;
	write_file("2", hb_buf_span(&b));
	run_until(file_is_gone);
	snprintf(path, sizeof(path), "%s/corrupt/2", dir);
	assert_int_equal(access(path, F_OK), 0);
	/* the name comes again: what was set aside before stays */
	write_file("2", HB_SPAN("other"));
	run_until(file_is_gone);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, b.n);
	assert_true(queue_is_empty());
	hb_buf_free(&b);
}

static unsigned looked;

static bool
some_turns_are_over(void)
{
	return ++looked > 50;
}

/* That no more files can be opened is no fault of the message. */
static void
test_A_24_a_drop_waits_for_descriptors(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	struct rlimit all, none;

	make_drop(&b);
	write_file("3", hb_buf_span(&b));
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	none = all;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	looked = 0;
	run_until(some_turns_are_over);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
	assert_string_equal(wait_job(1)->rcpts[0], "b@x.example");
	run_until(queue_is_empty);
	hb_buf_free(&b);
}

/* A disk that gives no bytes of files of mail. */
static bool disk_is_bad;
static unsigned bad_reads;

ssize_t
read(int fd, void *dst, size_t n)
{
	struct stat st;

	if (disk_is_bad && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		bad_reads++;
		errno = EIO;
		return -1;
	}
	return syscall(SYS_read, fd, dst, n);
}

static unsigned spool_begins, spool_ends;

static void
count_spool(void *ctx, enum hb_event ev, bool on, struct hb_span what,
    struct hb_span text)
{
	spool_begins += ev == HB_EV_SPOOL && on;
	spool_ends += ev == HB_EV_SPOOL && !on;
}

static bool
all_is_read(void)
{
	return spool_ends > 0;
}

static bool
drop_was_tried(void)
{
	return bad_reads > 0;
}

static void
test_A_30_a_drop_waits_for_a_bad_disk(void **state)
{
	struct q *q = env.ctx;
	struct hb_buf b = HB_BUF_INIT(0);

	spool_begins = spool_ends = bad_reads = 0;
	hb_trouble_tell(count_spool, NULL);
	make_drop(&b);
	disk_is_bad = true;
	write_file("2", hb_buf_span(&b));
	run_until(drop_was_tried);
	run_for(5);
	disk_is_bad = false;
	assert_false(file_is_gone());
	assert_int_equal(spool_begins, 1);
	assert_int_equal(spool_ends, 0);
	hb_timer_set(q->drop->look, 0); /* in half a minute */
	assert_string_equal(wait_job(1)->rcpts[0], "b@x.example");
	run_until(queue_is_empty);
	hb_timer_set(q->drop->look, 0);
	run_until(all_is_read);
	assert_int_equal(spool_begins, 1);
	hb_trouble_tell(NULL, NULL);
	hb_buf_free(&b);
}

/* A body of smtpd, or of a file in maildrop/, that could end early; the mail
 * after it is none the worse.  F-26: with NUL too. */
static const struct hb_span early_ends[] = {
	HB_SPAN_INIT("a: b\r\n\r\nx\r\n.\r\nMAIL FROM:<x@y.example>\r\n"),
	HB_SPAN_INIT("a: b\r\n\r\nx\n.\r\n"),
	HB_SPAN_INIT("a: b\r\n\r\nx\r.\r\n"),
	HB_SPAN_INIT("a: b\r\n\r\n.\0\r\n"),
	HB_SPAN_INIT("a: b\r\n\r\nx"),
};

static void
test_A_1_bodies_of_smtpd_are_checked(void **state)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(early_ends); i++) {
		answers_before = w.answers;
		post_env("a@here.example");
		post_rcpt("b@x.example", 0);
		post_body(early_ends[i]);
		next_txn++;
		run_until(answered);
		assert_int_equal(w.code, 451);
		assert_true(queue_is_empty());
	}
	send_mail("a@here.example", "b@x.example");
	assert_string_equal(wait_job(1)->rcpts[0], "b@x.example");
	run_until(queue_is_empty);
}

static unsigned
answer_to(struct hb_span head)
{
	answers_before = w.answers;
	post_env("a@here.example");
	post_rcpt("b@x.example", 0);
	post_parts(head, HB_SPAN("\r\nbody\r\n"));
	next_txn++;
	run_until(answered);
	return (unsigned)w.code;
}

/* And its header section, which has a bound. */
static void
test_A_1_header_sections_of_smtpd_are_checked(void **state)
{
	static const size_t most = HB_MAX_HEADER_BYTES + HB_INCOMING_OURS;
	struct hb_buf b = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(early_ends); i++)
		assert_int_equal(answer_to(early_ends[i]), 451);
	while (b.n + 64 < most)
		hb_buf_adds(&b, "X-Field: 5678901234567890123456789012345678901"
				"234567890123456\r\n");
	while (b.n < most - 2)
		hb_buf_adds(&b, "x");
	hb_buf_adds(&b, "\r\n");
	assert_int_equal(b.n, most);
	assert_true(queue_is_empty());
	assert_int_equal(answer_to(hb_buf_span(&b)), 250);
	assert_int_equal(wait_job(1)->body.n, most + 8);
	run_until(queue_is_empty);
	hb_buf_truncate(&b, b.n - 2);
	hb_buf_adds(&b, "x\r\n");
	assert_int_equal(answer_to(hb_buf_span(&b)), 452);
	assert_true(queue_is_empty());
	hb_buf_free(&b);
}

/* The file of a large body: smtpd writes it, and its checksum. */
static void
test_A_1_large_bodies_of_smtpd_are_checked(void **state)
{
	struct ipc_txn_large l = { .txn = next_txn };
	struct ipc_txn_commit c = { .txn = next_txn };

	answers_before = w.answers;
	post_env("a@here.example");
	post_rcpt("b@x.example", 0);
	large_rest = early_ends[0];
	c.size = large_rest.n;
	c.crc = hb_crc32c(0, large_rest);
	hb_peer_post(smtpd, HB_IPC_TXN_LARGE, &l, -1);
	run_for(30);
	hb_peer_post(smtpd, HB_IPC_TXN_COMMIT, &c, -1);
	next_txn++;
	run_until(answered);
	assert_int_equal(w.code, 451);
	run_for(20);
	assert_true(queue_is_empty());
}

/* File 2 is set aside, and nothing comes of it. */
static void
set_aside(const struct hb_buf *b)
{
	char path[128];

	write_file("2", hb_buf_span(b));
	run_until(file_is_gone);
	snprintf(path, sizeof(path), "%s/corrupt/2", dir);
	assert_int_equal(unlink(path), 0);
	assert_true(queue_is_empty());
}

/* A full pipe that a signal empties: the write that it interrupts goes on. */
static int full_pipe[2];

static void
on_alarm(int sig)
{
	static char block[4096];

	while (read(full_pipe[0], block, sizeof(block)) > 0)
		;
}

static void
test_F_30_only_a_full_disk_is_no_space(void **state)
{
	static const char byte = 'x';
	struct sigaction act = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value = { .tv_usec = 10000 } };
	int full = open("/dev/full", O_WRONLY);

	assert_int_equal(q_write_all(full, HB_SPAN("x")), HB_E_NOSPACE);
	close(full);
	assert_int_equal(q_write_all(full, HB_SPAN("x")), HB_E_IO);
	assert_int_equal(pipe2(full_pipe, O_NONBLOCK), 0);
	while (write(full_pipe[1], &byte, 1) == 1)
		;
	assert_int_equal(fcntl(full_pipe[1], F_SETFL, 0), 0);
	sigaction(SIGALRM, &act, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	assert_int_equal(q_write_all(full_pipe[1], HB_SPAN("x")), 0);
	close(full_pipe[0]);
	close(full_pipe[1]);
}

static void
test_A_1_bodies_of_drops_are_checked(void **state)
{
	struct hb_env e = { .sender = HB_SPAN("a@here.example") };
	struct hb_rcpt r = { .address = HB_SPAN("b@x.example") };
	struct hb_buf b = HB_BUF_INIT(0);

	for (size_t i = 0; i < HB_ARRAY_LEN(early_ends); i++) {
		hb_buf_clear(&b);
		make_drop_of(&e, &r, early_ends[i], &b);
		set_aside(&b);
	}
	hb_buf_clear(&b);
	make_drop(&b);
	write_file("3", hb_buf_span(&b));
	assert_string_equal(wait_job(1)->rcpts[0], "b@x.example");
	run_until(queue_is_empty);
	hb_buf_free(&b);
}

/* Any octet may stand in a file that a user leaves. */
static void
test_A_3_addresses_of_drops_are_parsed(void **state)
{
	static const struct hb_span bad[] = {
		HB_SPAN_INIT("a@b.example>\r\nX: y"),
		HB_SPAN_INIT("a@b.example> NOTIFY=NEVER"),
		HB_SPAN_INIT("a\0@b.example"), HB_SPAN_INIT("nobody"),
		HB_SPAN_INIT("|/bin/sh"), HB_SPAN_INIT("/etc/passwd") };
	struct hb_env good = { .sender = HB_SPAN("a@HERE.example"),
		.user = HB_SPAN("uid:0"), .mail_auth = HB_SPAN("x") };
	struct hb_rcpt to = { .address = HB_SPAN("b@X.example") };
	struct hb_buf b = HB_BUF_INIT(0);

	for (size_t i = 0; i < 2 * HB_ARRAY_LEN(bad); i++) {
		struct hb_env e = { .sender = HB_SPAN("a@here.example") };
		struct hb_rcpt r = { .address = HB_SPAN("b@x.example") };

		if (i % 2 == 0)
			e.sender = bad[i / 2];
		else
			r.address = bad[i / 2];
		hb_buf_clear(&b);
		make_drop_of(&e, &r, HB_SPAN(body_text), &b);
		set_aside(&b);
	}
	hb_buf_clear(&b);
	make_drop_of(&good, &to, HB_SPAN(body_text), &b);
	write_file("3", hb_buf_span(&b));
	assert_string_equal(wait_job(1)->rcpts[0], "b@x.example");
	assert_string_equal(w.jobs[0].sender, "a@here.example");
	run_until(queue_is_empty);
	hb_buf_free(&b);
}

/* An unfinished file of AGE seconds; its descriptor, locked. */
static int
unfinished(const char *name, time_t age, char path[128])
{
	struct timespec at[2] = { { .tv_sec = time(NULL) - age },
		{ .tv_sec = time(NULL) - age } };
	int fd;

	snprintf(path, 128, "%s/maildrop/%s", dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0604);
	assert_true(fd >= 0);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(futimens(fd, at), 0);
	return fd;
}

/* What a killed submit left goes after an hour; one that lives keeps its
 * file, as does what is none of ours. */
static void
test_A_9_unfinished_files_are_removed_and_shown(void **state)
{
	char old[128], held[128], fresh[128], other[128], bad[128];
	const char *shown;
	int fd;

	close(unfinished(".1a.1", 4000, old));
	close(unfinished(".1b.1", 3000, fresh));
	close(unfinished(".not-ours", 4000, other));
	fd = unfinished(".1c.1", 4000, held);
	snprintf(bad, sizeof(bad), "%s/corrupt/x", dir);
	close(open(bad, O_WRONLY | O_CREAT, 0600));
	queue_down();
	queue_up();
	claims_end();
	run_for(50);
	assert_int_not_equal(access(old, F_OK), 0);
	assert_int_equal(access(held, F_OK), 0);
	assert_int_equal(access(fresh, F_OK), 0);
	assert_int_equal(access(other, F_OK), 0);
	ask(HB_CTL_STATUS, "");
	run_for(20);
	w.ended = true; /* its object is control's to end */
	shown = said();
	assert_non_null(strstr(shown, "maildrop_unfinished=2\n"));
	assert_non_null(strstr(shown, "corrupt=1\n"));
	close(fd);
}

/* Files of no use cost nobody else a turn: each is set aside at once. */
static void
test_A_1_what_is_no_drop_is_set_aside(void **state)
{
	char path[128], aside[128];
	struct hb_buf b = HB_BUF_INIT(0);

	make_drop(&b);
	snprintf(path, sizeof(path), "%s/maildrop/2", dir);
	snprintf(aside, sizeof(aside), "%s/corrupt/2", dir);
	for (int kind = 0; kind < 4; kind++) {
		static const char *const names[] = { "fifo", "link", "dir",
			"empty" };
		char from[128];

		snprintf(from, sizeof(from), "%s/maildrop/.%s", dir,
		    names[kind]);
		if (kind == 0)
			assert_int_equal(mkfifo(from, 0666), 0);
		else if (kind == 1)
			assert_int_equal(symlink("/etc/passwd", from), 0);
		else if (kind == 2)
			assert_int_equal(mkdir(from, 0777), 0);
		else
			close(open(from, O_WRONLY | O_CREAT, 0666));
		assert_int_equal(rename(from, path), 0);
		run_until(file_is_gone);
		assert_int_equal(remove(aside) == 0, kind == 3);
	}
	write_file("3", hb_buf_span(&b));
	assert_string_equal(wait_job(1)->rcpts[0], "b@x.example");
	run_until(queue_is_empty);
	hb_buf_free(&b);
}

/* Each file comes at the moment the one before it is gone: its DSN meets
 * the step that the end of that one asked for. */
static struct hb_buf next_drop;
static unsigned n_drops;

static bool
drops_are_taken_up(void)
{
	char path[128], name[16];

	snprintf(path, sizeof(path), "%s/maildrop/%u", dir, n_drops);
	if (access(path, F_OK) == 0 || n_drops == 40)
		return n_drops == 40 && w.njobs == 40;
	snprintf(name, sizeof(name), "%u", ++n_drops);
	write_file(name, hb_buf_span(&next_drop));
	return false;
}

static void
drops_behind_one_another_are_taken_up_once(void **state)
{
	n_drops = 0;
	next_drop = HB_BUF_INIT(0);
	make_drop(&next_drop);
	run_until(drops_are_taken_up);
	run_until(queue_is_empty);
	run_for(20);
	assert_int_equal(w.njobs, 40);
	hb_buf_free(&next_drop);
}

enum { MANY_DROPS = 20, TOGETHER = 16 };

static bool
many_are_in_work(void)
{
	const struct q *q = env.ctx;

	return q_spool_count(q->spool) == TOGETHER;
}

static bool
all_drops_are_gone(void)
{
	for (unsigned i = 0; i < MANY_DROPS; i++) {
		char path[128];

		snprintf(path, sizeof(path), "%s/maildrop/%u", dir, 10 + i);
		if (access(path, F_OK) == 0)
			return false;
	}
	return true;
}

/* Files that wait are made durable together, as many as the bound says. */
static void
test_S_23_drops_share_a_flush(void **state)
{
	struct hb_buf b = HB_BUF_INIT(0);
	const struct q *q = env.ctx;

	make_drop(&b);
	run_for(20);
	pthread_mutex_lock(&disk);
	for (unsigned i = 0; i < MANY_DROPS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%u", 10 + i);
		write_file(name, hb_buf_span(&b));
	}
	run_until(many_are_in_work);
	run_for(20);
	assert_int_equal(q_spool_count(q->spool), TOGETHER);
	flushes = 0;
	pthread_mutex_unlock(&disk);
	run_until(all_drops_are_gone);
	assert_true(flushes > 0 && flushes < MANY_DROPS / 2);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, MANY_DROPS);
	hb_buf_free(&b);
}

/* The log has one line for a result, once no crash can undo it; trace has the
 * same. */
static void
a_result_is_told_once_when_it_is_durable(void **state)
{
	static const char *const pairs[] = { " rcpt=b@x.example ",
		" mx=mx.example ", " addr=192.0.2.1 ", " result=ok ",
		" code=250 ", " status=2.0.0 ", " tls=TLSv1.3/dane ",
		" sts=enforce ", " dane=secure-usable ", " reason=remote-reply ",
		" policy_id=20261201 ", " delay_ms=" };
	struct seen_job *j;
	const char *seen;
	char id[17];

	w.mute = true;
	hb_msgid_format(send_mail("a@here.example", "b@x.example"), id);
	j = wait_job(1);
	log_begin();
	pthread_mutex_lock(&disk);
	finish_job(j->peer, j);
	run_for(30);
	assert_int_equal(log_count(""), 0);
	ask(HB_CTL_TRACE, id);
	assert_null(strstr(said(), "event=attempt"));
	pthread_mutex_unlock(&disk);
	run_until(queue_is_empty);
	run_for(20);
	assert_int_equal(log_count(""), 1);
	for (size_t i = 0; i < HB_ARRAY_LEN(pairs); i++)
		assert_int_equal(log_count(pairs[i]), 1);
	ask(HB_CTL_TRACE, id);
	seen = strstr(said(), "event=attempt");
	assert_non_null(seen);
	assert_non_null(strstr(seen, "dane=secure-usable"));
	assert_non_null(strstr(seen, "event=finished"));
}

/* Who sees in a listing that mail has left finds its record in the log: the
 * answer ends when all outcomes that it knows of are durable. */
static void
a_listing_ends_when_its_outcomes_are_durable(void **state)
{
	struct seen_job *j;

	w.mute = true;
	send_mail("a@here.example", "b@x.example");
	j = wait_job(1);
	log_begin();
	pthread_mutex_lock(&disk);
	finish_job(j->peer, j);
	run_for(20);
	ask(HB_CTL_QUEUE, "");
	run_for(20);
	assert_false(w.ended);
	assert_int_equal(log_count(""), 0);
	pthread_mutex_unlock(&disk);
	assert_null(strstr(said(), "address="));
	assert_int_equal(log_count(" result=ok "), 1);
	run_until(queue_is_empty);
}

/* A disk that takes nothing does not hide the queue. */
static void
a_listing_does_not_wait_for_a_hanging_disk(void **state)
{
	struct seen_job *j;

	w.mute = true;
	send_mail("a@here.example", "b@x.example");
	j = wait_job(1);
	log_begin();
	pthread_mutex_lock(&disk);
	finish_job(j->peer, j);
	run_for(20);
	ask(HB_CTL_QUEUE, "");
	assert_null(strstr(said(), "address="));
	assert_int_equal(log_count(""), 0);
	pthread_mutex_unlock(&disk);
	run_until(queue_is_empty);
}

static struct hb_timer *turn;
static unsigned in_turn, most_in_turn;

static void
on_turn(void *ctx)
{
	in_turn = 0;
	hb_timer_set(turn, 0);
}

static void
count_record(void *ctx, enum hb_level level, struct hb_span record)
{
	if (++in_turn > most_in_turn)
		most_in_turn = in_turn;
	take_record(ctx, level, record);
}

/* One flush makes the end of thousands durable: others have their turn before
 * all of them are in the log. */
static void
test_A_2_many_outcomes_are_told_in_parts(void **state)
{
	enum { RCPTS = 5000 };
	struct hb_buf rcpts = HB_BUF_INIT(0);

	w.router_mute = true;
	for (unsigned i = 0; i < RCPTS; i++)
		hb_buf_addf(&rcpts, "u%u@x.example ", i);
	hb_buf_add(&rcpts, hb_span("", 1));
	send_mail("a@here.example", (const char *)rcpts.p);
	log_begin();
	hb_log_set_sink(count_record, NULL);
	most_in_turn = 0;
	turn = hb_timer_new(loop, on_turn, NULL);
	on_turn(NULL);
	pthread_mutex_lock(&disk);
	ask(HB_CTL_BOUNCE, "all");
	run_for(200);
	pthread_mutex_unlock(&disk);
	(void)said();
	w.router_mute = false;
	run_until(queue_is_empty);
	run_for(20);
	assert_int_equal(log_count(" rcpt=u"), RCPTS);
	assert_true(most_in_turn < RCPTS / 4);
	hb_timer_free(&turn);
	hb_buf_free(&rcpts);
}

/* Each line says what happened; nothing of what did not. */
static void
a_line_says_what_there_is_to_say(void **state)
{
	static const struct {
		struct hb_outcome o;
		const char *has, *lacks;
	} rows[] = {
		{ { .result = HB_RESULT_OK, .text = HB_SPAN("kept") },
		    " text=kept", " dane=" },
		{ { .result = HB_RESULT_OK }, " tls=none sts=none ", " addr=" },
		{ { .result = HB_RESULT_OK, .tls = HB_SPAN("none"),
		      .text = HB_SPAN("ok"), .from_remote = 1 },
		    " addr=\"\" ", " text=" },
		{ { .result = HB_RESULT_DEFER, .tls = HB_SPAN("none"),
		      .text = HB_SPAN("no") }, " text=no", " expired=" },
		{ { .result = HB_RESULT_DEFER, .remembered = 1,
		      .reason = HB_REASON_CONNECT_REFUSED },
		    " reason=host-down ", " connect-refused" },
		{ { .result = HB_RESULT_FAIL, .expired = 1,
		      .reason = HB_REASON_CONNECT_REFUSED },
		    " reason=connect-refused expired=yes ", " host-down" },
	};
	static const struct hb_rcpt rcpt = { .address = HB_SPAN("b@x.example") };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		log_begin();
		q_tell_outcome(env.ctx, 1, 7, &rcpt, &rows[i].o);
		assert_int_equal(log_count(rows[i].has), 1);
		assert_int_equal(log_count(rows[i].lacks), 0);
		assert_int_equal(log_count(" delay_ms=7"), 1);
	}
}

/* Mail that the operator removes or returns while it is being sent: what came
 * of the attempt is known to nobody but the log. */
static void
what_was_removed_under_way_is_told_too(void **state)
{
	struct seen_job *j;
	char id[17];

	w.mute = true;
	log_begin();
	hb_msgid_format(send_mail("a@here.example", "b@x.example c@x.example"),
	    id);
	j = wait_job(1);
	ask(HB_CTL_REMOVE, id);
	(void)said();
	assert_int_equal(log_count(""), 0);
	finish_job(j->peer, j);
	run_for(20);
	assert_int_equal(log_count(" result=ok "), 2);
	assert_int_equal(log_count(" rcpt=c@x.example "), 1);
	hb_msgid_format(send_mail("", "d@x.example"), id);
	j = wait_job(2);
	ask(HB_CTL_BOUNCE, id);
	(void)said();
	finish_job(j->peer, j);
	run_for(20);
	assert_int_equal(log_count(" rcpt=d@x.example "), 2);
	assert_int_equal(log_count(" reason=bounced "), 1);
	assert_int_equal(log_count(" result=ok "), 3);
}

/* --- what the sender asked for about DSNs --- */

#define NEVER HB_NOTIFY_NEVER
#define SUCCESS HB_NOTIFY_SUCCESS
#define FAILURE HB_NOTIFY_FAILURE
#define DELAY HB_NOTIFY_DELAY

/* The text of the DSN that J is; it is asked for no other. */
static const char *
dsn_text(struct seen_job *j)
{
	assert_string_equal(j->sender, "");
	assert_true((j->flags & HB_ENV_DSN) != 0);
	assert_int_equal(j->ret, HB_RET_NONE);
	assert_string_equal(j->envid, "");
	for (size_t i = 0; i < j->n; i++) {
		assert_int_equal(j->notify[i], NEVER);
		assert_string_equal(j->orcpt[i], "");
	}
	hb_buf_add(&j->body, hb_span("", 1));
	return (const char *)j->body.p + j->body.off;
}

static void
test_DSN_02_03_SMTP_08_who_is_told_of_what(void **state)
{
	static const struct {
		const char *sender;
		uint32_t notify;
		enum hb_result result;
		uint32_t capable, handed;
		const char *action; /* NULL: no DSN */
	} rows[] = {
		{ "a@here.example", 0, HB_RESULT_OK, 0, HB_HANDED_RELAYED,
		    NULL },
		{ "a@here.example", FAILURE | DELAY, HB_RESULT_OK, 0,
		    HB_HANDED_RELAYED, NULL },
		{ "a@here.example", NEVER, HB_RESULT_OK, 0,
		    HB_HANDED_DELIVERED, NULL },
		{ "a@here.example", SUCCESS, HB_RESULT_OK, 1,
		    HB_HANDED_RELAYED, NULL },
		{ "a@here.example", SUCCESS, HB_RESULT_OK, 0,
		    HB_HANDED_RELAYED, "\nAction: relayed\r\n" },
		{ "a@here.example", SUCCESS | FAILURE, HB_RESULT_OK, 0,
		    HB_HANDED_DELIVERED, "\nAction: delivered\r\n" },
		{ "", SUCCESS, HB_RESULT_OK, 0, HB_HANDED_RELAYED, NULL },
		{ "a@here.example", 0, HB_RESULT_FAIL, 1, 0,
		    "\nAction: failed\r\n" },
		{ "a@here.example", FAILURE, HB_RESULT_FAIL, 0, 0,
		    "\nAction: failed\r\n" },
		{ "a@here.example", SUCCESS | DELAY, HB_RESULT_FAIL, 0, 0,
		    NULL },
		{ "a@here.example", NEVER, HB_RESULT_FAIL, 0, 0, NULL },
		{ "", FAILURE | SUCCESS, HB_RESULT_FAIL, 0, 0, NULL },
	};

	w.envid = "Q+2Bx";
	w.orcpt = "Rfc822;C+2B@D";
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		const char *text;

		w.njobs = 0;
		w.notify = rows[i].notify;
		w.result = rows[i].result;
		w.dsn_capable = rows[i].capable;
		w.handed = rows[i].handed;
		send_mail(rows[i].sender, "b@x.example");
		wait_job(1);
		assert_int_equal(w.jobs[0].notify[0], rows[i].notify);
		assert_string_equal(w.jobs[0].orcpt[0], w.orcpt);
		assert_string_equal(w.jobs[0].envid, w.envid);
		run_until(queue_is_empty);
		assert_int_equal(w.njobs, rows[i].action != NULL ? 2 : 1);
		if (rows[i].action == NULL)
			continue;
		assert_string_equal(w.jobs[1].rcpts[0], rows[i].sender);
		text = dsn_text(&w.jobs[1]);
		assert_non_null(strstr(text, rows[i].action));
		assert_non_null(strstr(text,
		    "\nOriginal-Envelope-Id: Q+x\r\n"));
		assert_non_null(strstr(text,
		    "\nOriginal-Recipient: Rfc822;C+@D\r\n"));
	}
}

/* RFC 3461 s4.3: whole only of a failure. */
static void
test_DSN_07_ret_says_what_comes_back(void **state)
{
	static const struct {
		enum hb_result result;
		uint32_t ret;
		bool whole;
	} rows[] = {
		{ HB_RESULT_FAIL, HB_RET_NONE, true },
		{ HB_RESULT_FAIL, HB_RET_FULL, true },
		{ HB_RESULT_FAIL, HB_RET_HDRS, false },
		{ HB_RESULT_OK, HB_RET_FULL, false },
	};

	w.notify = SUCCESS | FAILURE;
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		const char *text;

		w.njobs = 0;
		w.ret = rows[i].ret;
		w.result = rows[i].result;
		send_mail("a@here.example", "b@x.example");
		text = dsn_text(wait_job(2));
		assert_true((strstr(text, "\r\nHello\r\n") != NULL) ==
		    rows[i].whole);
		assert_true((strstr(text, ": text/rfc822-headers\r\n") ==
		    NULL) == rows[i].whole);
		run_until(queue_is_empty);
	}
}

static void
test_DSN_03_delay_is_told_to_who_asked(void **state)
{
	static const struct {
		uint32_t notify;
		bool told;
	} rows[] = { { 0, true }, { DELAY, true }, { SUCCESS | DELAY, true },
		{ FAILURE | SUCCESS, false }, { NEVER, false } };

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		size_t n = rows[i].told ? 3 : 2;

		w.njobs = 0;
		w.result = HB_RESULT_DEFER;
		w.notify = rows[i].notify;
		send_mail("a@here.example", "b@x.example");
		wait_job(1);
		run_until(job_is_over);
		w.mute = true;
		advance(4 * 3600 * 1000 + 1000);
		wait_job(n); /* the retry, and the warning */
		run_for(20);
		assert_int_equal(w.njobs, n);
		w.mute = false;
		w.result = HB_RESULT_FAIL;
		w.notify = 0;
		for (size_t k = 1; k < n; k++)
			finish_job(delivery, &w.jobs[k]);
		run_until(queue_is_empty);
	}
}

/* A failure and a success of one message are two DSNs. */
static void
test_DSN_05_a_dsn_for_each_kind(void **state)
{
	bool failed;

	w.notify = SUCCESS | FAILURE;
	w.mute = true;
	send_mail("a@here.example", "b@x.example c@y.example d@x.example");
	wait_job(2);
	w.result = HB_RESULT_OK;
	w.handed = HB_HANDED_RELAYED;
	finish_job(delivery, &w.jobs[w.jobs[0].n == 2 ? 0 : 1]);
	w.result = HB_RESULT_FAIL;
	finish_job(delivery, &w.jobs[w.jobs[0].n == 2 ? 1 : 0]);
	w.mute = false;
	wait_job(4);
	failed = strstr(dsn_text(&w.jobs[2]), "Action: failed") != NULL;
	for (size_t i = 2; i < 4; i++, failed = !failed) {
		const char *text = i == 2 ? (char *)w.jobs[2].body.p
					  : dsn_text(&w.jobs[i]);

		assert_true((strstr(text, "; c@y.example\r\nAction: failed") !=
		    NULL) == failed);
		assert_true((strstr(text, "; b@x.example\r\nAction: relayed") !=
		    NULL) == !failed);
		assert_true((strstr(text, "; d@x.example\r\nAction: relayed") !=
		    NULL) == !failed);
	}
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 4);
}

/* The job of RECIPIENT, or the DSN for "". */
static struct seen_job *
find_job(const char *recipient)
{
	for (size_t i = 0; i < w.njobs; i++)
		if (strcmp(recipient[0] != '\0' ? w.jobs[i].rcpts[0]
						: w.jobs[i].sender,
			recipient) == 0)
			return &w.jobs[i];
	fail_msg("no job of %s", recipient);
	abort();
}

static bool
one_acknowledged(void)
{
	return w.acks > 0;
}

/* Delivered, recorded, and no DSN yet, since another recipient is under way:
 * then this process ends. */
static void
test_DSN_02_success_is_told_after_a_crash(void **state)
{
	w.notify = SUCCESS;
	w.mute = true;
	send_mail("a@here.example", "b@x.example c@y.example");
	wait_job(2);
	finish_job(delivery, find_job("b@x.example"));
	run_until(one_acknowledged);
	queue_down();
	w.njobs = 0;
	w.mute = false;
	w.dsn_capable = 1;
	queue_up();
	claims_end();
	wait_job(2);
	run_until(queue_is_empty);
	/* the other one's, and nothing for whom has it */
	assert_int_equal(w.njobs, 2);
	(void)find_job("c@y.example");
	assert_non_null(strstr(dsn_text(find_job("")),
	    "; b@x.example\r\nAction: delivered\r\n"));
}

/* RFC 3461 s5.2.7: an alias of one target is only another name. */
static void
test_DSN_09_one_target_inherits_all(void **state)
{
	struct seen_job *j;

	w.expand[0][0] = "ann@here.example";
	w.expand[0][1] = "b@x.example mx://x.example";
	w.notify = SUCCESS | DELAY;
	w.envid = "id";
	w.orcpt = "rfc822;ann@here.example";
	w.ret = HB_RET_HDRS;
	w.dsn_capable = 1;
	send_mail("a@there.example", "ann@here.example");
	j = wait_job(1);
	assert_int_equal(j->notify[0], SUCCESS | DELAY);
	assert_string_equal(j->orcpt[0], w.orcpt);
	assert_string_equal(j->envid, "id");
	assert_int_equal(j->ret, HB_RET_HDRS);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 1);
	w.dsn_capable = 0;
	send_mail("a@there.example", "ann@here.example");
	assert_non_null(strstr(dsn_text(wait_job(3)),
	    "Original-Recipient: rfc822;ann@here.example\r\n"
	    "Final-Recipient: rfc822; b@x.example\r\n"
	    "Action: delivered\r\n"));
	run_until(queue_is_empty);
}

static void
test_DSN_09_several_targets_report_no_success(void **state)
{
	static const struct {
		uint32_t notify, want;
		const char *action; /* NULL: no DSN */
	} rows[] = {
		{ 0, 0, NULL }, { FAILURE, FAILURE, NULL },
		{ SUCCESS | FAILURE, FAILURE, "expanded" },
		{ SUCCESS, NEVER, "expanded" },
	};

	w.expand[0][0] = "team@here.example";
	w.expand[0][1] = "b@x.example mx://x.example";
	w.expand[0][2] = "c@y.example mx://y.example";
	w.orcpt = "rfc822;T@here.example";
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		size_t n = rows[i].action != NULL ? 3 : 2;

		w.njobs = 0;
		w.notify = rows[i].notify;
		send_mail("a@there.example", "team@here.example");
		wait_job(n);
		run_until(queue_is_empty);
		assert_int_equal(w.njobs, n);
		assert_int_equal(find_job("b@x.example")->notify[0],
		    rows[i].want);
		assert_string_equal(find_job("c@y.example")->orcpt[0],
		    w.orcpt);
		if (rows[i].action != NULL)
			assert_non_null(strstr(dsn_text(find_job("")),
			    "Original-Recipient: rfc822;T@here.example\r\n"
			    "Final-Recipient: rfc822; team@here.example\r\n"
			    "Action: expanded\r\nStatus: 2.0.0\r\n"));
	}
}

/* What the sender asked for ends at a list, which has the message. */
static void
test_DSN_09_a_list_inherits_nothing(void **state)
{
	const struct seen_job *j;

	w.expand[0][0] = "list@here.example";
	w.expand[0][1] = "b@x.example mx://x.example owner-list@here.example";
	w.notify = SUCCESS | FAILURE;
	w.envid = "id";
	w.orcpt = "rfc822;list@here.example";
	w.ret = HB_RET_FULL;
	send_mail("a@there.example", "list@here.example");
	wait_job(2);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 2);
	j = find_job("b@x.example");
	assert_string_equal(j->sender, "owner-list@here.example");
	assert_int_equal(j->notify[0], 0);
	assert_string_equal(j->orcpt[0], "");
	assert_string_equal(j->envid, "");
	assert_int_equal(j->ret, HB_RET_NONE);
	assert_non_null(strstr(dsn_text(find_job("")),
	    "Final-Recipient: rfc822; list@here.example\r\n"
	    "Action: delivered\r\n"));
	/* its owner hears of a failure, in words that are for him */
	w.result = HB_RESULT_FAIL;
	w.notify = NEVER;
	w.njobs = 0;
	send_mail("a@there.example", "list@here.example");
	assert_string_equal(wait_job(2)->rcpts[0], "owner-list@here.example");
	assert_null(strstr(dsn_text(&w.jobs[1]), "Original-Envelope-Id"));
	run_until(queue_is_empty);
}

/* Told of the expansion, which no crash repeats. */
static void
test_DSN_09_expanded_is_told_after_a_crash(void **state)
{
	w.expand[0][0] = "team@here.example";
	w.expand[0][1] = "b@x.example mx://x.example";
	w.expand[0][2] = "c@y.example mx://y.example";
	w.notify = SUCCESS;
	w.mute = true;
	send_mail("a@there.example", "team@here.example");
	wait_job(2);
	queue_down();
	w.mute = false;
	w.njobs = 0;
	w.asked = 0;
	queue_up();
	claims_end();
	wait_job(3);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, 3);
	assert_int_equal(w.asked, 1); /* for the DSN */
	assert_non_null(strstr(dsn_text(find_job("")), "Action: expanded"));
}

static void
test_DSN_04_operator_sees_what_was_asked(void **state)
{
	char id[17];
	const char *text;

	w.result = HB_RESULT_DEFER;
	w.notify = SUCCESS | DELAY;
	w.envid = "Q+2Bx";
	w.orcpt = "Rfc822;C+2B@D";
	w.ret = HB_RET_HDRS;
	hb_msgid_format(send_mail("a@here.example", "b@x.example"), id);
	ask(HB_CTL_SHOW, id);
	text = said();
	assert_non_null(strstr(text, "notify=SUCCESS,DELAY\n"));
	assert_non_null(strstr(text, "orcpt=Rfc822;C+2B@D\n"));
	assert_non_null(strstr(text, "ret=hdrs\n"));
	assert_non_null(strstr(text, "envid=Q+2Bx\n"));
}

#define TAGS (HB_ENV_REQUIRETLS | HB_ENV_TLS_OPTIONAL)

/* What smtpd may say with BEGIN, and what with COMMIT; the parameter goes
 * before the header field. */
static void
test_RTLS_02_07_tags_of_a_message(void **state)
{
	static const struct {
		uint32_t begin, commit, want;
	} rows[] = {
		{ 0, 0, 0 },
		{ HB_ENV_REQUIRETLS, 0, HB_ENV_REQUIRETLS },
		{ 0, HB_ENV_TLS_OPTIONAL, HB_ENV_TLS_OPTIONAL },
		{ HB_ENV_REQUIRETLS, HB_ENV_TLS_OPTIONAL, HB_ENV_REQUIRETLS },
		{ HB_ENV_TLS_OPTIONAL, 0, 0 },
		{ 0, HB_ENV_REQUIRETLS, 0 },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		w.flags = rows[i].begin;
		w.commit_flags = rows[i].commit;
		send_mail("a@here.example", "b@x.example");
		assert_int_equal(wait_job(i + 1)->flags & TAGS, rows[i].want);
	}
}

/* MESSAGE is dropped under NAME, and its N-th job comes. */
static struct seen_job *
job_of_drop(const char *name, struct hb_span message, size_t n)
{
	struct hb_env e = { .sender = HB_SPAN("a@here.example") };
	struct hb_rcpt r = { .address = HB_SPAN("b@x.example") };
	struct hb_buf b = HB_BUF_INIT(0);

	make_drop_of(&e, &r, message, &b);
	write_file(name, hb_buf_span(&b));
	hb_buf_free(&b);
	return n > 0 ? wait_job(n) : NULL;
}

/* What is missing is added where a message comes in, whatever its door; the
 * header section stands apart, in memory or before the file of a body. */
static void
a_dropped_message_is_completed(void **state)
{
	static const struct {
		const char *name;
		struct hb_span fields;
		unsigned added; /* Date, Message-ID, From */
		int lines;
	} rows[] = {
		{ "1", HB_SPAN("Subject: x\r\n"), 3, 1 },
		{ "3", HB_SPAN("From: y\r\nDate: z\r\nMessage-ID: <w>\r\n"),
		    0, 1 },
		{ "5", HB_SPAN("Date: z\r\n"), 2, 30000 }, /* large */
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf body = HB_BUF_INIT(0), all = HB_BUF_INIT(0);
		struct hb_span got;
		struct seen_job *j;
		size_t end;

		hb_buf_adds(&body, "\r\n");
		for (int k = 0; k < rows[i].lines; k++)
			hb_buf_addf(&body, "..line %d\r\n", k);
		hb_buf_add(&all, rows[i].fields);
		hb_buf_add(&all, hb_buf_span(&body));
		j = job_of_drop(rows[i].name, hb_buf_span(&all), i + 1);
		assert_true(j->file == (rows[i].lines > 1));
		got = hb_buf_span(&j->body);
		end = hb_span_search(got, HB_SPAN("\r\n\r\n")) + 2;
		assert_true(hb_span_eq(hb_span_from(got, end),
		    hb_buf_span(&body)));
		got = hb_span_head(got, end);
		assert_true(hb_span_search(got, rows[i].fields) < got.n);
		assert_int_equal(
		    (hb_header_find(got, "Date").n > 1) +
			(hb_header_find(got, "Message-ID").n > 3) +
			hb_span_eq(hb_header_find(got, "From"),
			    HB_SPAN("<a@here.example>")), rows[i].added);
		hb_buf_free(&body);
		hb_buf_free(&all);
	}
	run_until(queue_is_empty);
}

/* What smtpd would refuse is not taken here either. */
static void
a_drop_beyond_the_limits_is_set_aside(void **state)
{
	static const struct {
		const char *field;
		int count;
	} rows[] = { { "X-Field: 890123456789012345678\r\n", 10000 },
		{ "Received: x\r\n", 60 } };
	char path[128];

	snprintf(path, sizeof(path), "%s/corrupt/2", dir);
	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_buf b = HB_BUF_INIT(0);

		for (int k = 0; k < rows[i].count; k++)
			hb_buf_adds(&b, rows[i].field);
		(void)job_of_drop("2", hb_buf_span(&b), 0);
		run_until(file_is_gone);
		assert_int_equal(unlink(path), 0);
		hb_buf_free(&b);
	}
	assert_true(queue_is_empty());
}

static void
test_RTLS_02_07_tags_of_a_dropped_message(void **state)
{
	static const struct {
		uint32_t flags;
		struct hb_span message;
		uint32_t want;
		const char *name;
	} rows[] = {
		{ HB_ENV_REQUIRETLS, HB_SPAN(body_text), HB_ENV_REQUIRETLS,
		    "1" },
		{ 0, HB_SPAN("TLS-Required: No\r\n" body_text),
		    HB_ENV_TLS_OPTIONAL, "3" },
		{ TAGS, HB_SPAN("TLS-Required: No\r\n" body_text),
		    HB_ENV_REQUIRETLS, "5" },
		/* the header section says it, nobody else */
		{ HB_ENV_TLS_OPTIONAL, HB_SPAN(body_text), 0, "7" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct hb_env e = { .sender = HB_SPAN("a@here.example"),
			.flags = rows[i].flags };
		struct hb_rcpt r = { .address = HB_SPAN("b@x.example") };
		struct hb_buf b = HB_BUF_INIT(0);

		make_drop_of(&e, &r, rows[i].message, &b);
		write_file(rows[i].name, hb_buf_span(&b));
		assert_int_equal(wait_job(i + 1)->flags & TAGS, rows[i].want);
		hb_buf_free(&b);
	}
}

static void
test_RTLS_02_tags_outlive_a_restart(void **state)
{
	static const uint32_t tags[] = { HB_ENV_REQUIRETLS,
		HB_ENV_TLS_OPTIONAL };

	w.result = HB_RESULT_DEFER;
	for (size_t i = 0; i < HB_ARRAY_LEN(tags); i++) {
		w.flags = tags[i] & HB_ENV_REQUIRETLS;
		w.commit_flags = tags[i] & HB_ENV_TLS_OPTIONAL;
		send_mail("a@here.example", "b@x.example");
		wait_job(i + 1);
	}
	run_until(job_is_over);
	queue_down();
	w.result = HB_RESULT_OK;
	w.njobs = 0;
	queue_up();
	claims_end();
	advance(10 * 60 * 1000);
	wait_job(2);
	assert_int_equal((w.jobs[0].flags ^ w.jobs[1].flags) & TAGS, TAGS);
	run_until(queue_is_empty);
}

/* Each copy of an alias, and those of a list with a return path of its own. */
static void
test_RTLS_02_10_copies_keep_the_tag(void **state)
{
	static const uint32_t tags[] = { HB_ENV_REQUIRETLS,
		HB_ENV_TLS_OPTIONAL };

	w.expand[0][0] = "team@here.example";
	w.expand[0][1] = "b@x.example mx://x.example";
	w.expand[0][2] = "c@y.example mx://y.example owner-team@here.example";
	for (size_t i = 0; i < HB_ARRAY_LEN(tags); i++) {
		w.flags = tags[i] & HB_ENV_REQUIRETLS;
		w.commit_flags = tags[i] & HB_ENV_TLS_OPTIONAL;
		send_mail("a@here.example", "team@here.example");
		wait_job(2 * i + 2);
		for (size_t j = 2 * i; j < 2 * i + 2; j++)
			assert_int_equal(w.jobs[j].flags & TAGS, tags[i]);
		run_until(queue_is_empty);
	}
}

/* Tagged, and the headers alone, whatever the sender said. */
static void
check_dsn(struct seen_job *j)
{
	assert_string_equal(j->sender, "");
	assert_int_equal(j->flags & TAGS, HB_ENV_REQUIRETLS);
	assert_true((j->flags & HB_ENV_DSN) != 0);
	hb_buf_add(&j->body, hb_span("", 1));
	assert_non_null(strstr((char *)j->body.p, "text/rfc822-headers"));
	assert_non_null(strstr((char *)j->body.p, "\r\nSubject: test\r\n"));
	assert_null(strstr((char *)j->body.p, "Hello"));
}

static void
test_RTLS_09_failure_dsn(void **state)
{
	w.flags = HB_ENV_REQUIRETLS;
	w.ret = HB_RET_FULL;
	w.result = HB_RESULT_FAIL;
	w.status = "5.7.30";
	w.own_word = true;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	check_dsn(wait_job(2));
	assert_non_null(strstr((char *)w.jobs[1].body.p, "Status: 5.7.30\r\n"));
	assert_non_null(strstr((char *)w.jobs[1].body.p,
	    "X-Hauberk-Reason: requiretls-missing\r\n"));
	run_until(queue_is_empty);
}

static void
test_RTLS_09_delay_dsn(void **state)
{
	struct seen_job *j;

	w.flags = HB_ENV_REQUIRETLS;
	w.result = HB_RESULT_DEFER;
	send_mail("a@here.example", "b@x.example");
	wait_job(1);
	run_until(job_is_over);
	w.mute = true;
	advance(4 * 3600 * 1000 + 1000);
	j = wait_job(3); /* the retry, and the warning */
	check_dsn(j->sender[0] != 0 ? &w.jobs[1] : j);
}

/* The lifetime ends while it waits for a channel: that is why. */
static void
test_RTLS_05_lifetime_over_keeps_the_word_on_tls(void **state)
{
	static const struct {
		uint32_t flags;
		bool own_word;
		const char *status, *want, *reason;
	} rows[] = {
		{ HB_ENV_REQUIRETLS, true, "4.7.30", "Status: 5.7.30\r\n",
		    "requiretls-missing" },
		{ HB_ENV_REQUIRETLS, true, "4.4.1", "Status: 5.4.7\r\n",
		    "requiretls-missing" },
		{ HB_ENV_REQUIRETLS, false, "4.7.1", "Status: 5.4.7\r\n",
		    "remote-reply" },
		{ 0, false, "4.7.5", "Status: 5.4.7\r\n", "remote-reply" },
		{ 0, true, "4.7.5", "Status: 5.7.5\r\n",
		    "requiretls-missing" },
		{ 0, true, "4.7.0", "Status: 5.7.0\r\n",
		    "requiretls-missing" },
		{ 0, true, "4.7.1", "Status: 5.4.7\r\n",
		    "requiretls-missing" },
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(rows); i++) {
		struct seen_job *j;

		w.njobs = 0;
		w.flags = rows[i].flags;
		w.own_word = rows[i].own_word;
		w.status = rows[i].status;
		w.result = HB_RESULT_DEFER;
		send_mail("a@here.example", "b@x.example");
		wait_job(1);
		run_until(job_is_over);
		w.mute = true;
		advance(5 * 24 * 3600 * (int64_t)1000);
		assert_true(wait_job(2)->final);
		finish_job(delivery, &w.jobs[1]);
		w.mute = false;
		w.result = HB_RESULT_OK;
		j = wait_job(3);
		hb_buf_add(&j->body, hb_span("", 1));
		assert_non_null(strstr((char *)j->body.p, rows[i].want));
		assert_non_null(strstr((char *)j->body.p, rows[i].reason));
		run_until(queue_is_empty);
	}
}

/* Whoever calls it a failure: nothing comes back for what the operator or this
 * server does wrong, until the lifetime is over. */
static void
test_S_30_a_mistake_of_the_operators_waits(void **state)
{
	struct seen_job *j;

	for (unsigned r = 0; r < HB_REASON_COUNT; r++) {
		/* a lost role's recipients are tried at once, in another test */
		if (hb_reason_is_final((enum hb_reason)r) ||
		    r == HB_REASON_ROLE_LOST)
			continue;
		w.njobs = 0;
		w.result = HB_RESULT_FAIL;
		w.reason = (enum hb_reason)r;
		send_mail("a@here.example", "b@x.example");
		wait_job(1);
		run_until(job_is_over);
		ask(HB_CTL_QUEUE, "x.example");
		assert_non_null(strstr(said(), "status=4.3.5\n"));
		w.mute = true;
		advance(5 * 24 * 3600 * (int64_t)1000);
		assert_true(wait_job(2)->final);
		finish_job(delivery, &w.jobs[1]);
		w.mute = false;
		w.result = HB_RESULT_OK;
		j = wait_job(3);
		hb_buf_add(&j->body, hb_span("", 1));
		assert_non_null(strstr((char *)j->body.p, "Status: 5.4.7\r\n"));
		run_until(queue_is_empty);
	}
}

/* The good targets of an alias get the message once; it waits for the broken
 * one, over restarts too, and goes there when that is mended. */
static void
test_S_31_a_broken_target_waits_alone(void **state)
{
	static const char *const broken[] = { "team@here.example",
		"team@here.example mx://here.example",
		"c@x.example mx://x.example" };

	memcpy(w.expand[0], broken, sizeof(broken));
	w.expand_result = HB_RESULT_DEFER;
	send_mail("a@here.example", "team@here.example");
	wait_job(2);
	run_until(job_is_over);
	ask(HB_CTL_QUEUE, "here.example");
	assert_non_null(strstr(said(), "reason=alias-error\nwhy="));
	assert_non_null(strstr(said(), "fault=operator\n"));
	advance(600 * 1000);
	run_for(100);
	assert_int_equal(w.njobs, 2);
	queue_down();
	queue_up();
	claims_end();
	advance(600 * 1000);
	run_for(100);
	assert_int_equal(w.njobs, 2);
	w.expand[0][3] = "d@y.example mx://y.example";
	w.expand_result = HB_RESULT_NONE;
	advance(3600 * 1000);
	assert_string_equal(wait_job(3)->rcpts[0], "d@y.example");
	run_until(queue_is_empty);
}

static void
test_RTLS_02_operator_sees_the_tag(void **state)
{
	w.mute = true;
	w.flags = HB_ENV_REQUIRETLS;
	send_mail("a@here.example", "b@x.example");
	w.flags = 0;
	w.commit_flags = HB_ENV_TLS_OPTIONAL;
	send_mail("a@here.example", "c@y.example");
	w.commit_flags = 0;
	send_mail("a@here.example", "d@z.example");
	ask(HB_CTL_QUEUE, "x.example");
	assert_non_null(strstr(said(), "tls_demand=required\n"));
	ask(HB_CTL_QUEUE, "y.example");
	assert_non_null(strstr(said(), "tls_demand=optional\n"));
	ask(HB_CTL_QUEUE, "z.example");
	assert_non_null(strstr(said(), "tls_demand=\n"));
}

static void
pause_delivery(uint32_t on)
{
	struct ipc_pause m = { .on = on };

	hb_peer_post(parent, HB_IPC_PAUSE, &m, -1);
	run_for(20);
}

/* What waited long goes to many places at once: the worker gets as many jobs
 * as its channel holds, and the others when it has read these. */
static void
test_A_37_many_long_messages_at_once(void **state)
{
	struct hb_buf body = HB_BUF_INIT(0);
	size_t n = HB_ARRAY_LEN(w.jobs) - 1;
	char to[64];

	hb_buf_adds(&body, "\r\n");
	while (body.n < HB_MAX_LARGE_MESSAGE - 1000)
		hb_buf_addf(&body, "%0900d\r\n", 1);
	pause_delivery(1);
	for (size_t i = 0; i < n; i++) {
		answers_before = w.answers;
		snprintf(to, sizeof(to), "b@d%zu.example", i);
		post_env("a@here.example");
		post_rcpt(to, 0);
		post_parts(hb_span_head(hb_span_from(hb_buf_span(&body), 2),
		    180400), hb_buf_span(&body));
		next_txn++;
		run_until(answered);
		assert_int_equal(w.code, 250);
	}
	pause_delivery(0);
	(void)wait_job(n);
	run_until(queue_is_empty);
	assert_int_equal(w.njobs, n);
	assert_non_null(delivery);
	assert_non_null(q_side[HB_ROLE_DELIVERY]);
	hb_buf_free(&body);
}

/* Envelopes of messages with many recipients are few; those used last stay. */
static void
test_A_36_envelopes_are_bounded_by_recipients(void **state)
{
	static struct sched_msg m[3000];
	static const struct hb_env about;
	struct q *q = HB_NEW(struct q);

	TAILQ_INIT(&q->envelopes);
	for (size_t i = 0; i < HB_ARRAY_LEN(m); i++)
		q_envelope_put(q, &m[i], hb_arena_new(), &about, NULL,
		    i < 1000 ? 1 : i < 2000 ? 1000 : 100000);
	assert_int_equal(q->nenvelopes, Q_ENVELOPES_MIN);
	assert_null(m[HB_ARRAY_LEN(m) - Q_ENVELOPES_MIN - 1].user);
	assert_non_null(m[HB_ARRAY_LEN(m) - Q_ENVELOPES_MIN].user);
	for (size_t i = 0; i < HB_ARRAY_LEN(m); i++)
		q_envelope_drop(q, &m[i]);
	for (size_t i = 0; i < 200; i++)
		q_envelope_put(q, &m[i], hb_arena_new(), &about, NULL, 1000);
	assert_int_equal(q->nenvelopes, 100);
	for (size_t i = 0; i < 200; i++)
		q_envelope_drop(q, &m[i]);
	assert_int_equal(q->envelope_rcpts, 0);
	free(q);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(message_goes_through),
		T(same_recipient_twice_is_one),
		T(open_messages_have_a_bound),
		T(what_is_not_as_said_has_its_own_reason),
		T(deferred_message_is_tried_again),
		T(failure_is_told_to_the_sender_once),
		T(lifetime_ends_with_a_final_attempt_and_a_dsn),
		T(lifetime_over_during_an_attempt_brings_a_final_one),
		T(delay_is_told_after_delay_warning),
		T(a_delay_that_found_a_full_disk_is_told_later),
		T(lost_worker_loses_no_job),
		T(lost_router_is_asked_again),
		T(restart_keeps_what_waits_and_believes_claims),
		T(results_count_for_the_message_they_name),
		T(strange_job_numbers_close_the_worker),
		T(claims_out_of_their_time_close_the_worker),
		T(kept_results_count_after_a_restart),
		T(failure_recorded_before_a_crash_is_told_after_it),
		T(alias_is_expanded_and_merged),
		T(test_F_14_E_3_M_15_one_mailbox_gets_one_copy),
		T(test_E_3_a_copy_that_was_delivered_counts_after_a_restart),
		T(test_E_3_a_copy_that_waits_counts),
		T(test_A_2_a_list_of_100000_holds_up_nobody),
		T(expansion_survives_a_restart),
		T(what_was_removed_while_it_was_expanded_stays_so),
		T(error_route_fails_and_discard_is_silent),
		T(local_delivery_goes_to_a_helper),
		T(unreachable_destination_is_listed_with_its_reason),
		T(test_A_2_a_long_envelope_is_read_in_slices),
		T(test_A_2_long_envelopes_are_read_while_the_queue_is_listed),
		T(long_lists_go_out_in_pieces),
		T(operator_holds_releases_and_removes),
		T(operator_sees_message_and_trace),
		T(an_export_does_not_mix_messages),
		T(an_answer_is_for_the_channel_that_asked),
		T(large_message_has_a_file),
		T(test_T_7_a_body_is_kept),
		T(dropped_message_is_taken_up),
		T(test_S_11_room_is_told),
		T(test_A_24_a_drop_waits_for_descriptors),
		T(test_A_30_a_drop_waits_for_a_bad_disk),
		T(test_A_1_bodies_of_smtpd_are_checked),
		T(test_A_1_header_sections_of_smtpd_are_checked),
		T(test_A_1_large_bodies_of_smtpd_are_checked),
		T(test_A_1_bodies_of_drops_are_checked),
		T(test_A_3_addresses_of_drops_are_parsed),
		T(test_A_9_unfinished_files_are_removed_and_shown),
		T(test_A_1_what_is_no_drop_is_set_aside),
		T(test_F_30_only_a_full_disk_is_no_space),
		T(drops_behind_one_another_are_taken_up_once),
		T(test_S_23_drops_share_a_flush),
		T(a_result_is_told_once_when_it_is_durable),
		T(a_listing_ends_when_its_outcomes_are_durable),
		T(a_listing_does_not_wait_for_a_hanging_disk),
		T(test_A_2_many_outcomes_are_told_in_parts),
		T(a_line_says_what_there_is_to_say),
		T(what_was_removed_under_way_is_told_too),
		T(test_DSN_02_03_SMTP_08_who_is_told_of_what),
		T(test_DSN_07_ret_says_what_comes_back),
		T(test_DSN_03_delay_is_told_to_who_asked),
		T(test_DSN_05_a_dsn_for_each_kind),
		T(test_DSN_02_success_is_told_after_a_crash),
		T(test_DSN_09_one_target_inherits_all),
		T(test_DSN_09_several_targets_report_no_success),
		T(test_DSN_09_a_list_inherits_nothing),
		T(test_DSN_09_expanded_is_told_after_a_crash),
		T(test_DSN_04_operator_sees_what_was_asked),
		T(test_RTLS_02_07_tags_of_a_message),
		T(a_dropped_message_is_completed),
		T(a_drop_beyond_the_limits_is_set_aside),
		T(test_RTLS_02_07_tags_of_a_dropped_message),
		T(test_RTLS_02_tags_outlive_a_restart),
		T(test_RTLS_02_10_copies_keep_the_tag),
		T(test_RTLS_09_failure_dsn),
		T(test_RTLS_09_delay_dsn),
		T(test_RTLS_05_lifetime_over_keeps_the_word_on_tls),
		T(test_RTLS_02_operator_sees_the_tag),
		T(test_S_30_a_mistake_of_the_operators_waits),
		T(test_S_31_a_broken_target_waits_alone),
		T(test_A_37_many_long_messages_at_once),
		cmocka_unit_test(test_A_36_envelopes_are_bounded_by_recipients),
	};
#undef T

	hb_log_set_level(HB_LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
