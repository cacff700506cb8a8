/* The page of `explain`.  Floor 4. */
#include "config.h"

#include "common/control/explain_text.h"

#include "common/control/control.h"
#include "common/control/page.h"
#include "common/proto/envelope.h"
#include "common/proto/route.h"

/* What stands for a word of a list; the last row, without a word, for all
 * others. */
struct said {
	const char *word, *text;
};

/* --- look-ups in the lists --- */

static bool
has(const json_t *obj, const char *key)
{
	return ctl_member(obj, key).n > 0;
}

static bool
is_word(const json_t *obj, const char *key, const char *word)
{
	return hb_span_eq(ctl_member(obj, key), hb_span_str(word));
}

static const char *
said(const struct said *list, struct hb_span word)
{
	while (list->word != NULL && !hb_span_eq(word, hb_span_str(list->word)))
		list++;
	return list->text;
}

static enum hb_reason
reason_of(const json_t *obj)
{
	return hb_reason_find(ctl_member(obj, "reason"));
}

void
ctl_explain_why(json_t *obj, bool advice)
{
	enum hb_reason r = reason_of(obj);

	(void)json_object_set_new(obj, "why",
	    json_string(r != HB_REASON_NONE ? hb_reason_text(r) : ""));
	if (advice)
		(void)json_object_set_new(obj, "change",
		    json_string(hb_reason_advice(r)));
}

/* --- where it goes --- */

static const char *const route_words[HB_ROUTE_COUNT] = {
	[HB_ROUTE_MX] = "to the mail hosts (MX) that %s publishes",
	[HB_ROUTE_SMTP] = "to the host %s",
	[HB_ROUTE_SMTP_TLS] = "to the host %s, over encryption only and with "
			      "proof of its name",
	[HB_ROUTE_SMTPS] = "to the host %s, encrypted from the first byte and "
			   "with proof of its name",
	[HB_ROUTE_LMTP] = "to the mailbox server (LMTP) at %s",
	[HB_ROUTE_LMTP_UNIX] = "to the mailbox server (LMTP) at %s",
	[HB_ROUTE_LOCAL] = "to the mailbox %s on this server",
	[HB_ROUTE_FILE] = "to the end of the file %s on this server",
	[HB_ROUTE_PIPE] = "to the command %s on this server",
	[HB_ROUTE_ERROR] = "nowhere: it is refused with the words %s",
	[HB_ROUTE_DISCARD] = "nowhere: it is taken and thrown away%s",
};

/* Before and after the "%s" of a route's words. */
static void
say_place(struct ctl_page *p, const struct hb_route *r)
{
	const char *words = route_words[r->kind];
	size_t at = (size_t)(strstr(words, "%s") - words);
	struct hb_span what = r->host.n > 0 ? r->host
	    : r->kind == HB_ROUTE_LOCAL	    ? r->user
					    : r->rest;

	hb_buf_add(&p->para, hb_span(words, at));
	if (r->kind == HB_ROUTE_ERROR || r->kind == HB_ROUTE_PIPE)
		ctl_quoted(&p->para, what);
	else
		ctl_safe(&p->para, what);
	if (r->port != 0)
		hb_buf_addf(&p->para, " port %u", r->port);
	hb_buf_adds(&p->para, words + at + 2);
}

static void
say_route(struct ctl_page *p, struct hb_span route)
{
	struct hb_route r;

	if (hb_route_parse(route, &r) == 0)
		say_place(p, &r);
	else
		ctl_quoted(&p->para, route);
}

static bool
is_by_mx(const json_t *e)
{
	return hb_span_has_prefix_nocase(ctl_member(e, "route"),
	    HB_SPAN("mx:"));
}

static void
put_recipients(struct ctl_page *p, const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		ctl_say(p, v, "{address} goes ");
		say_route(p, ctl_member(v, "route"));
		p->indent = "    ";
		ctl_para(p, v, ".");
	}
	p->indent = "  ";
}

/* An alias: the address is another name for others. */
static bool
is_renamed(const json_t *e)
{
	const json_t *list = json_object_get(e, "recipients");

	return json_array_size(list) > 1 || has(e, "for");
}

static void
put_alias(struct ctl_page *p, const json_t *e)
{
	const json_t *list = json_object_get(e, "recipients");
	size_t n = json_array_size(list);

	ctl_say(p, e, "This address is an alias on this server: it stands for ");
	if (n > 1)
		hb_buf_addf(&p->para, "%zu recipients", n);
	ctl_para(p, e, n > 1 ? "." : "{for}.");
	put_recipients(p, list);
	if (n > 1 && has(e, "policy_domain"))
		ctl_para(p, e, has(e, "for")
			? "The rest of this page is about {for}."
			: "The rest of this page is about {address}.");
}

/* An address, or all addresses of a domain. */
static void
say_whose(struct ctl_page *p, const json_t *e)
{
	struct hb_span whose = ctl_member(e, has(e, "for") ? "for" : "address");

	ctl_say(p, e, hb_span_find(whose, '@') == whose.n
		? "Mail for addresses at " : "Mail for ");
	ctl_safe(&p->para, whose);
}

static void
put_where(struct ctl_page *p, const json_t *e)
{
	size_t at;

	ctl_say_block(p, e, "Where it goes");
	if (is_renamed(e))
		put_alias(p, e);
	if (!has(e, "route")) {
		ctl_para(p, e, "Nowhere.");
	} else if (json_array_size(json_object_get(e, "recipients")) <= 1) {
		say_whose(p, e);
		ctl_say(p, e, " goes ");
		at = p->para.n;
		say_route(p, ctl_member(e, "route"));
		ctl_say(p, e, p->para.n > at ? "." : "");
		ctl_para(p, e, !has(e, "rule") && is_by_mx(e)
			? "  This server's configuration has no other rule for it."
			: "<rule|  This server's configuration says so: `{rule}'.>");
	}
}

/* --- what the domain asks for --- */

static const struct said modes[] = {
	{ "enforce",
	    " has a mail security policy (MTA-STS) in force (mode enforce): mail may go only "
	    "to the hosts that the policy lists, only encrypted, and only if "
	    "the host proves its name with a certificate." },
	{ "testing",
	    " has a mail security policy (MTA-STS) on trial (mode testing): what does not "
	    "fit it is reported, and the mail goes out all the same." },
	{ "none",
	    " has a mail security policy (MTA-STS) that demands nothing (mode "
	    "none)." },
	{ NULL, " has a policy." },
};

static void
put_policy_age(struct ctl_page *p, const json_t *policy)
{
	int64_t fetched = 0, refreshed = 0;

	(void)ctl_time(policy, "fetched", &fetched);
	(void)ctl_time(policy, "refreshed", &refreshed);
	ctl_say(p, policy, is_word(policy, "source", "imported")
		? "This server was given the policy (id {id}) {~fetched}"
		: "This server fetched the policy (id {id}) {~fetched}");
	if (refreshed > fetched + 60000)
		ctl_say(p, policy, ", looked at it again {~refreshed}");
	ctl_para(p, policy, ", and holds to it until {@expires}.");
}

/* The record in DNS beside the policy that is held. */
static void
put_txt(struct ctl_page *p, const json_t *e)
{
	const json_t *txt = json_object_get(e, "txt");
	struct hb_span id = ctl_member(txt, "id");

	if (has(txt, "reason"))
		ctl_para(p, txt, "What DNS says of the policy now: {!reason}.  "
		    "That does not end a policy that is held.");
	else if (id.n > 0 &&
	    !hb_span_eq(id, ctl_member(json_object_get(e, "policy"), "id")))
		ctl_para(p, txt, "The domain announces another version now (id "
		    "{id}), which this server does not have yet; until it does "
		    "the one above holds.");
}

static bool
has_star(const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		if (ctl_string(v).n > 0 && ctl_string(v).p[0] == '*')
			return true;
	return false;
}

static void
put_policy(struct ctl_page *p, const json_t *e)
{
	const json_t *policy = json_object_get(e, "policy");

	ctl_say(p, policy, "{domain}");
	ctl_say(p, policy, said(modes, ctl_member(policy, "mode")));
	ctl_say(p, policy, "<mx|  It lists {,mx}.>");
	ctl_para(p, policy, has_star(json_object_get(policy, "mx"))
		? "  (A star stands for one part of a name.)" : "");
	put_policy_age(p, policy);
	ctl_para(p, policy, "<last_error|The last attempt to fetch it anew "
	    "failed: {!last_error}.  The policy holds all the same until it "
	    "expires.>");
	put_txt(p, e);
}

static void
put_demand(struct ctl_page *p, const json_t *e)
{
	bool any = has(e, "policy_domain");

	ctl_say_block(p, e, any ? "What {policy_domain} asks for"
				: "What is asked for");
	if (json_is_object(json_object_get(e, "policy")))
		put_policy(p, e);
	else if (!any)
		ctl_para(p, e, "Nothing: there is no domain that could publish a "
		    "policy for this way.");
	else if (has(e, "no_policy"))
		ctl_para(p, e, "There is nothing to hold to: {!no_policy}.");
	else
		ctl_para(p, e, "It was not asked: this server's operator has "
		    "said all there is to say.");
}

/* --- signed records, memory, the operator --- */

static const struct said resolver_words[] = {
	{ "trusted",
	    "The resolver that this server asks checks signatures, and it is "
	    "trusted." },
	{ "untrusted",
	    "They cannot be used: the resolver that this server asks is not "
	    "trusted to check signatures (DNSSEC)." },
	{ "unprobed",
	    "Whether the resolver that this server asks checks signatures "
	    "(DNSSEC) is not known yet." },
	{ NULL, "" },
};

static void
put_dane(struct ctl_page *p, const json_t *e)
{
	const json_t *d = json_object_get(e, "dane");
	const json_t *signed_mx = json_object_get(d, "mx_signed");

	if (!json_is_object(d) ||
	    json_array_size(json_object_get(e, "mx")) == 0)
		return;
	ctl_say_block(p, d, "Signed records (DANE)");
	if (is_word(d, "state", "off"))
		ctl_say(p, d, "This server's operator has turned them off.");
	else if (is_word(d, "state", "unasked"))
		ctl_say(p, d, "They were not asked for: they do not count here.");
	else
		ctl_say(p, d, said(resolver_words, ctl_member(d, "resolver")));
	if (json_is_boolean(signed_mx))
		ctl_say(p, d, json_is_true(signed_mx)
			? "  The list of the domain's mail hosts is signed."
			: "  The list of the domain's mail hosts is not signed.");
	ctl_say_end(p);
}

static const struct said rank_words[] = {
	{ "plain", "plain text" },
	{ "tls", "encryption without proof of the host's name" },
	{ "verified", "encryption with proof of the host's name" },
	{ "sts", "encryption as the domain's policy (MTA-STS) demands" },
	{ "dane", "encryption as signed records (DANE) demand" },
	{ NULL, "nothing yet" },
};
static const struct said memory_words[] = {
	{ "off", "A worse one goes unsaid: this server's operator wants it "
		 "so." },
	{ "warn", "A worse one is logged; that alone holds no mail back." },
	{ "defer", "With a worse one the mail waits: this server's operator "
		   "wants it so." },
	{ NULL, "" },
};

static void
put_ledger(struct ctl_page *p, const json_t *e)
{
	const json_t *l = json_object_get(e, "ledger");

	if (!json_is_object(l))
		return;
	ctl_say_block(p, l, "What was seen before");
	if (is_word(l, "best", "none")) {
		ctl_para(p, l, "No mail has gone this way yet.");
		return;
	}
	ctl_say(p, l, "The best connection so far: ");
	ctl_say(p, l, said(rank_words, ctl_member(l, "best")));
	ctl_say(p, l, "<since|, first seen {~since}>.  ");
	ctl_para(p, l, said(memory_words, ctl_member(l, "memory")));
	/* the one command against waiting for what will not come back */
	if (is_word(l, "memory", "defer"))
		ctl_para(p, e, "`hauberkctl ledger forget {policy_domain}' lets "
		    "that be forgotten: where it has changed for good, or "
		    "somebody on the way made it look better once.");
}

static const struct said level_words[] = {
	{ "none", "no encryption is asked for, whatever the domain says" },
	{ "may", "the usual order: what the domain publishes counts" },
	{ "encrypt", "encryption is demanded, proof of the name is not" },
	{ "verify", "encryption and proof of the name are demanded" },
	{ "sts", "a mail security policy (MTA-STS) in force is demanded" },
	{ "dane", "signed records (DANE) that fit are demanded" },
	{ NULL, NULL },
};

static void
put_level(struct ctl_page *p, const json_t *op)
{
	const char *text = said(level_words, ctl_member(op, "level"));

	if (text == NULL || !has(op, "rule"))
		return;
	ctl_say(p, op, "`{rule}': ");
	ctl_say(p, op, text);
	ctl_para(p, op, "<names|, also under the names {,names}>"
	    "<until|, until {@until}>.<reason|  The reason given: {\"reason}.>");
}

/* Words of the configuration that count for every destination. */
static const struct {
	const char *key;
	bool when;
	const char *text;
} general_words[] = {
	{ "mta_sts", false, "`mta-sts off': policies of domains do not count." },
	{ "dane", false, "`dane off': signed records do not count." },
	{ "route_demands", true,
	    "The route itself demands encryption and proof of the host's "
	    "name." },
};

static bool
is_in_force(const json_t *op, size_t i)
{
	const json_t *v = json_object_get(op, general_words[i].key);

	return json_is_boolean(v) && json_is_true(v) == general_words[i].when;
}

static void
put_operator(struct ctl_page *p, const json_t *e)
{
	const json_t *op = json_object_get(e, "operator");
	bool any = has(op, "rule");

	for (size_t i = 0; i < HB_ARRAY_LEN(general_words); i++)
		any = any || is_in_force(op, i);
	if (!any)
		return;
	ctl_say_block(p, op, "What this server's operator says");
	put_level(p, op);
	for (size_t i = 0; i < HB_ARRAY_LEN(general_words); i++)
		if (is_in_force(op, i))
			ctl_para(p, op, general_words[i].text);
}

/* --- the mail hosts --- */

static const struct said host_words[] = {
	{ "proceed", "It would get the mail" },
	{ "skip", "It would be passed over" },
	{ "defer", "It would not get the mail now" },
	{ NULL, "Not judged" },
};

/* Does the word proceed depend on what the connection will show? */
static bool
is_open(const json_t *obj)
{
	return is_word(obj, "verdict", "proceed") &&
	    hb_reason_means(reason_of(obj), HB_WHY_OPEN);
}

static void
put_host_verdict(struct ctl_page *p, const json_t *host)
{
	if (is_open(host) && !has(host, "tls")) {
		ctl_say(p, host, "It would be tried: nothing is held against it "
		    "before it is connected to [{reason}].");
	} else {
		ctl_say(p, host, said(host_words, ctl_member(host, "verdict")));
		ctl_say(p, host, ": {!reason}.");
	}
	if (!is_word(host, "verdict", "skip") &&
	    !is_word(host, "verdict", "defer"))
		ctl_say(p, host, "<report|  A fault that does not stop the mail: "
		    "{!report}.>");
	if (!hb_span_eq(ctl_member(host, "text"),
		ctl_member(json_object_get(host, "certificate"), "error")))
		ctl_say(p, host, "<text|  What was seen: {\"text}.>");
	ctl_say_end(p);
}

/* Of a record: enough to know it again. */
enum { TLSA_SHOWN = 38 };

static void
put_host_dane(struct ctl_page *p, const json_t *host)
{
	const json_t *d = json_object_get(host, "dane"), *v;
	size_t i, n = json_array_size(json_object_get(d, "records"));

	if (!has(d, "text") || is_word(d, "state", "untrusted") ||
	    is_word(d, "state", "unasked") || is_word(d, "state", "off"))
		return; /* said already, for all of them */
	ctl_para(p, d, n > 0 ? "Signed records (DANE): {text}, at {base}:"
			     : "Signed records (DANE): {text}.");
	p->indent = "      ";
	json_array_foreach(json_object_get(d, "records"), i, v)
	{
		ctl_safe(&p->para, hb_span_head(ctl_string(v), TLSA_SHOWN));
		ctl_para(p, d, ctl_string(v).n > TLSA_SHOWN ? "..." : "");
	}
	p->indent = "    ";
}

static void
put_certificate(struct ctl_page *p, const json_t *cert)
{
	int64_t ms;

	ctl_say(p, cert, json_array_size(json_object_get(cert, "names")) > 0
		? "Certificate: for {,names}" : "Certificate: for no name");
	ctl_say(p, cert, "<issuer|; issued by {\"issuer}>");
	if (ctl_time(cert, "expires", &ms))
		ctl_say(p, cert, ms < p->now_ms ? "; expired {@expires}"
						: "; good until {@expires}");
	ctl_para(p, cert, ".<error|  What did not fit: {error}.>");
}

/* What stands behind the slash of "TLSv1.3/verified". */
static const struct said proofs[] = {
	{ "verified", "the host proved its name with its certificate" },
	{ "dane", "the certificate is the one that signed records promise" },
	{ "unverified", "the host's name was not proved" },
	{ NULL, NULL },
};

static void
put_tls(struct ctl_page *p, const json_t *host)
{
	struct hb_span proof = ctl_member(host, "tls"),
		       version = hb_span_cut(&proof, '/');
	const char *text = said(proofs, proof);

	if (text == NULL) {
		ctl_para(p, host, "The connection: not encrypted.");
		return;
	}
	ctl_say(p, host, "The connection: encrypted (");
	ctl_safe(&p->para, version);
	ctl_say(p, host, "<cipher|, {cipher}>); ");
	ctl_say(p, host, text);
	ctl_para(p, host, ".");
}

static void
put_connection(struct ctl_page *p, const json_t *host)
{
	const json_t *cert = json_object_get(host, "certificate");

	if (has(host, "tls"))
		put_tls(p, host);
	if (json_is_object(cert))
		put_certificate(p, cert);
	if (json_is_true(json_object_get(host, "fell"))) {
		ctl_say(p, host, "That is worse than the best seen before: ");
		ctl_say(p, host, said(rank_words, ctl_member(host, "ledger")));
		ctl_para(p, host, ".");
	}
}

/* What has no address: nothing else is to be said of it.  NULL: it has. */
static const char *
why_homeless(const json_t *host)
{
	enum hb_reason r = reason_of(host);

	if (json_array_size(json_object_get(host, "addresses")) > 0 ||
	    !hb_reason_means(r, HB_WHY_NO_ADDRESS))
		return NULL;
	return hb_reason_result(r) == HB_RESULT_DEFER ? ", address not known now"
						      : ", has no address";
}

static void
put_host(struct ctl_page *p, const json_t *host, bool by_mx)
{
	const char *homeless = why_homeless(host);

	ctl_say(p, host, by_mx ? "{name}, preference {preference}" : "{name}");
	ctl_say(p, host, "<addresses|, at {,addresses}>");
	ctl_say(p, host, homeless != NULL ? homeless : "");
	p->indent = "  ";
	ctl_say_end(p);
	p->indent = "    ";
	if (homeless != NULL)
		return;
	put_host_verdict(p, host);
	put_connection(p, host);
	put_host_dane(p, host);
}

static void
put_hosts(struct ctl_page *p, const json_t *e)
{
	const json_t *list = json_object_get(e, "mx"), *v;
	size_t i;

	if (json_array_size(list) == 0)
		return;
	ctl_say_block(p, e, json_array_size(list) > 1
		? "The mail hosts, in the order in which they are tried"
		: "The mail host");
	json_array_foreach(list, i, v)
		put_host(p, v, is_by_mx(e));
	p->indent = "  ";
	if (!json_is_true(json_object_get(e, "live")))
		ctl_para(p, e, "Nothing was connected to; `explain --live' does "
		    "that, and sends no mail.");
}

/* --- the outcome --- */

static const struct said outcomes[] = {
	{ "proceed", "Mail would be sent" },
	{ "defer", "Mail would wait and be tried again" },
	{ "fail", "Mail would be returned to its sender" },
	{ NULL, "Not known" },
};

static void
put_outcome(struct ctl_page *p, const json_t *e)
{
	bool ok = is_word(e, "reason", "ok");

	ctl_say_block(p, e, "The outcome");
	if (ok) {
		ctl_say(p, e, "Mail would be delivered.");
	} else if (is_open(e) && !json_is_true(json_object_get(e, "live"))) {
		ctl_say(p, e, "Mail would be sent, unless the connection falls "
		    "short of what is demanded [{reason}].");
	} else {
		ctl_say(p, e, said(outcomes, ctl_member(e, "verdict")));
		ctl_say(p, e, ": {!reason}.");
	}
	ctl_para(p, e, ok ? "" : "<text|  The words: {\"text}.>");
	if (!has(e, "change"))
		return;
	ctl_say_block(p, e, "What would change it");
	ctl_para(p, e, "{change}");
}

void
ctl_explain_page(struct hb_buf *out, const json_t *e)
{
	struct ctl_page p = { .out = out, .para = HB_BUF_INIT(0), .indent = "" };
	bool remote = json_object_get(e, "live") != NULL;

	(void)ctl_time(e, "time", &p.now_ms);
	ctl_para(&p, e, "{address}");
	put_where(&p, e);
	if (remote)
		put_demand(&p, e);
	put_dane(&p, e);
	put_ledger(&p, e);
	put_operator(&p, e);
	put_hosts(&p, e);
	put_outcome(&p, e);
	hb_buf_free(&p.para);
}
