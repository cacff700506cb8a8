/* sendmail's access table.  Floor 2. */
#include "queue/router/access.h"

#include "common/base/err.h"
#include "common/proto/address.h"

#define NO_MORE (-1)

const struct rt_access_said rt_access_mistake = { .action = HB_ACTION_TEMPFAIL,
	.code = 451, .status = HB_SPAN_INIT("4.3.5"),
	.reason = HB_REASON_ACCESS_TABLE };

/* --- keys --- */

static int
key_exact(struct hb_span what, unsigned i, struct hb_buf *key)
{
	if (i > 0)
		return NO_MORE;
	hb_buf_add(key, what);
	return 1;
}

/* A name and the domains above it. */
static int
key_domain(struct hb_span what, unsigned i, struct hb_buf *key)
{
	for (; i > 0 && what.n > 0; i--)
		(void)hb_span_cut(&what, '.');
	if (what.n == 0)
		return NO_MORE;
	hb_buf_add(key, what);
	return 1;
}

/* LOCAL before its detail; all of it if it has none. */
static struct hb_span
without_detail(struct hb_span local)
{
	size_t plus = hb_span_find(local, '+');

	return plus == 0 ? local : hb_span_head(local, plus);
}

/* As sendmail has them: all of it, any detail, without the detail. */
static int
add_local(struct hb_span local, unsigned i, struct hb_buf *key)
{
	struct hb_span user = without_detail(local);

	if (i > 2)
		return NO_MORE;
	if (i > 0 && user.n == local.n)
		return 0;
	hb_buf_add(key, i == 0 ? local : user);
	hb_buf_adds(key, i == 1 ? "+*@" : "@");
	return 1;
}

static int
key_address(struct hb_span what, unsigned i, struct hb_buf *key)
{
	struct hb_span local, domain;
	int r;

	hb_addr_split(what, &local, &domain);
	if (domain.n == 0)
		return NO_MORE;
	r = add_local(local, i, key);
	if (r > 0)
		hb_buf_add(key, domain);
	return r;
}

static int
key_user(struct hb_span what, unsigned i, struct hb_buf *key)
{
	struct hb_span local, domain;

	hb_addr_split(what, &local, &domain);
	return add_local(local, i, key);
}

/* Octets and groups without the zeros that stand for the rest. */
static void
add_groups(const struct hb_netaddr *net, unsigned bits, struct hb_buf *key)
{
	for (unsigned i = 0; i < bits / 8; i++)
		if (net->family == 4)
			hb_buf_addf(key, "%s%u", i > 0 ? "." : "", net->b[i]);
		else if (i % 2 == 1)
			hb_buf_addf(key, "%s%x", i > 1 ? ":" : "",
			    (unsigned)net->b[i - 1] << 8 | net->b[i]);
}

static void
add_text(const struct hb_netaddr *net, unsigned bits, bool length,
    struct hb_buf *key)
{
	char text[HB_NETADDR_TEXT];

	hb_netaddr_format(net, text);
	hb_buf_adds(key, text);
	if (length)
		hb_buf_addf(key, "/%u", bits);
}

/* Ways to write one network. */
enum { GROUPS, SHORT, LENGTH, WAYS };

/* The first BITS of the address WHAT. */
static struct hb_netaddr
network(struct hb_netaddr a, unsigned bits)
{
	for (unsigned i = 0; i < HB_ARRAY_LEN(a.b); i++)
		if (8 * i >= bits)
			a.b[i] = 0;
		else if (8 * (i + 1) > bits)
			a.b[i] &= (uint8_t)(0xff << (8 - bits % 8));
	return a;
}

/*
 * An address and the networks around it.  Those of IPv6 come with "IPv6:" and
 * without; whole ones in full and in the short form with "::".
 */
static int
key_network(struct hb_span what, unsigned i, struct hb_buf *key)
{
	struct hb_netaddr a;
	unsigned most, bits, way, marks;
	bool whole;

	if (hb_netaddr_parse(what, &a) < 0)
		return NO_MORE;
	most = a.family == 4 ? 32 : 128;
	marks = a.family == 4 ? 1 : 2;
	if (i / (marks * WAYS) > most)
		return NO_MORE;
	bits = most - i / (marks * WAYS);
	way = i / marks % WAYS;
	whole = bits > 0 && bits % (a.family == 4 ? 8 : 16) == 0;
	if ((way != LENGTH && !whole) || (way == SHORT && a.family == 4))
		return 0;
	if (a.family == 6 && i % marks == 0)
		hb_buf_adds(key, "IPv6:");
	a = network(a, bits);
	if (way == GROUPS)
		add_groups(&a, bits, key);
	else
		add_text(&a, bits, way == LENGTH, key);
	return 1;
}

/* --- checks --- */

static void
add(struct rt_access *a, const char *tag, bool tagged,
    int (*key)(struct hb_span, unsigned, struct hb_buf *),
    struct hb_span what)
{
	HB_ASSERT(a->n < RT_ACCESS_SEARCHES);
	a->search[a->n++] = (struct rt_access_search){ key, tag, tagged, what };
}

static void
add_client(struct rt_access *a, const char *tag, bool tagged,
    const struct ipc_check *q)
{
	if (q->client_name.n > 0)
		add(a, tag, tagged, key_domain, q->client_name);
	add(a, tag, tagged, key_network, q->client);
}

static void
add_mailbox(struct rt_access *a, const char *tag, struct hb_span address,
    bool user)
{
	struct hb_span local, domain;

	hb_addr_split(address, &local, &domain);
	add(a, tag, false, key_address, address);
	if (user)
		add(a, tag, false, key_user, address);
	add(a, tag, false, key_domain, domain);
}

void
rt_access_begin(struct rt_access *a, enum rt_access_check check,
    const struct ipc_check *q)
{
	struct hb_span local, domain;

	a->check = check;
	a->n = a->at = a->level = 0;
	a->bare = false;
	switch (check) {
	case RT_ACCESS_CLIENT:
		add_client(a, "Connect:", false, q);
		return;
	case RT_ACCESS_TLS:
		add_client(a, "TLS_Clt:", true, q);
		add(a, "TLS_Clt:", true, key_exact, HB_SPAN_NONE);
		return;
	case RT_ACCESS_SENDER:
		add_mailbox(a, "From:", q->sender, true);
		return;
	case RT_ACCESS_RCPT:
		add_mailbox(a, "To:", q->rcpt, false);
		return;
	case RT_ACCESS_USER:
		add_mailbox(a, "To:", q->rcpt, true);
		return;
	case RT_ACCESS_RELAY:
		hb_addr_split(q->rcpt, &local, &domain);
		if (!rt_is_routed(q))
			add(a, "To:", false, key_domain, domain);
		if (q->cert.n > 0)
			add(a, "CertPrint:", true, key_exact, q->cert);
		add_client(a, "Connect:", false, q);
		return;
	}
}

void
rt_access_free(struct rt_access *a)
{
	hb_buf_free(&a->key);
}

static void
next_search(struct rt_access *a)
{
	a->at++;
	a->level = 0;
	a->bare = false;
}

bool
rt_access_key(struct rt_access *a, struct hb_span *key)
{
	while (a->at < a->n) {
		const struct rt_access_search *s = &a->search[a->at];
		int r;

		if (a->bare) {
			a->bare = false;
			*key = hb_span_from(hb_buf_span(&a->key),
			    strlen(s->tag));
			return true;
		}
		hb_buf_clear(&a->key);
		hb_buf_adds(&a->key, s->tag);
		r = s->key(s->what, a->level++, &a->key);
		if (r < 0) {
			next_search(a);
		} else if (r > 0) {
			a->bare = !s->tagged;
			*key = hb_buf_span(&a->key);
			return true;
		}
	}
	return false;
}

/* --- what entries say --- */

static struct rt_access_said
refuse(unsigned code, struct hb_span status, struct hb_span text)
{
	return (struct rt_access_said){
		.action = code < 500 ? HB_ACTION_TEMPFAIL : HB_ACTION_REJECT,
		.code = code,
		.status = status,
		.text = text,
		.reason = HB_REASON_ACCESS,
	};
}

/* Who may end it stands in the text: the reader knows of no table. */
static struct rt_access_said
reject(enum rt_access_check check)
{
	if (check == RT_ACCESS_CLIENT)
		return refuse(550, HB_SPAN("5.7.1"), HB_SPAN("mail from your "
		    "host is refused; ask the operator of this server"));
	if (check == RT_ACCESS_SENDER)
		return refuse(550, HB_SPAN("5.7.1"), HB_SPAN("mail from this "
		    "sender is refused; ask the operator of this server"));
	return refuse(550, HB_SPAN("5.2.1"), HB_SPAN("mail for this "
	    "recipient is refused; ask the operator of this server"));
}

static struct rt_access_said
error(enum rt_access_check check, const struct hb_access_value *v)
{
	struct rt_access_said said = reject(check);

	if (v->status.n > 0)
		said.status = v->status;
	else if (v->code < 500)
		said.status = HB_SPAN("4.7.1");
	if (v->text.n > 0)
		said.text = v->text;
	return refuse(v->code, said.status, said.text);
}

/* Of a check of client, sender or recipient. */
static bool
act(struct rt_access *a, const struct hb_access_value *v,
    struct rt_access_said *said)
{
	*said = (struct rt_access_said){ .action = HB_ACTION_ACCEPT };
	switch (v->kind) {
	case HB_ACCESS_SKIP:
		next_search(a);
		return false;
	case HB_ACCESS_OK:
	case HB_ACCESS_RELAY:
		break;
	case HB_ACCESS_REJECT:
		*said = reject(a->check);
		break;
	case HB_ACCESS_ERROR:
		*said = error(a->check, v);
		break;
	case HB_ACCESS_DISCARD:
		said->action = HB_ACTION_DISCARD;
		said->reason = HB_REASON_DISCARDED;
		break;
	case HB_ACCESS_QUARANTINE:
		said->hold = v->text;
		break;
	}
	return true;
}

/* Each search of a relay check stands alone: what else it finds is no leave,
 * and forbids none. */
static bool
permit(struct rt_access *a, const struct hb_access_value *v,
    struct rt_access_said *said)
{
	if (v->kind != HB_ACCESS_RELAY) {
		next_search(a);
		return false;
	}
	*said = (struct rt_access_said){ .action = HB_ACTION_ACCEPT,
		.relay = true };
	return true;
}

/* No authority is asked about the certificates of clients: VERIFY is never
 * met. */
static struct rt_access_said
judge_tls(const struct hb_access_tls *t, const struct ipc_check *q)
{
	unsigned code = t->perm ? 554 : 454;
	struct hb_span status = t->perm ? HB_SPAN("5.7.0") : HB_SPAN("4.7.0");

	if (t->verify)
		return refuse(code, status, HB_SPAN("a certificate that this "
		    "server can verify is demanded of your host"));
	if (t->bits > 0 && q->tls == 0)
		return refuse(code, status, HB_SPAN("encryption (TLS) is "
		    "demanded of your host"));
	if (t->bits > q->tls_bits)
		return refuse(code, status, HB_SPAN("stronger encryption is "
		    "demanded of your host"));
	return (struct rt_access_said){ .action = HB_ACTION_ACCEPT };
}

bool
rt_access_found(struct rt_access *a, const struct ipc_check *q,
    struct hb_span value, struct rt_access_said *said)
{
	struct hb_access_value v;
	struct hb_access_tls tls;

	if (a->check == RT_ACCESS_TLS) {
		*said = hb_access_parse_tls(value, &tls) == 0
		    ? judge_tls(&tls, q) : rt_access_mistake;
		return true;
	}
	if (hb_access_parse(value, &v) < 0) {
		*said = rt_access_mistake;
		return true;
	}
	return a->check == RT_ACCESS_RELAY ? permit(a, &v, said)
					   : act(a, &v, said);
}
