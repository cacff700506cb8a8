/* The page of `explain`.  Floor 4. */
#include "config.h"

#include "common/control/explain_text.h"

#include "common/control/control.h"
#include "common/control/page.h"
#include "common/proto/envelope.h"
#include "common/proto/route.h"

/* What stands for a word of a list. */
struct said {
	const char *word, *text;
};

/* --- look-ups in the lists ---------------------------------------------- */

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
find_said(const struct said *list, size_t n, struct hb_span word)
{
	for (size_t i = 0; i < n; i++)
		if (hb_span_eq(word, hb_span_str(list[i].word)))
			return list[i].text;
	return NULL;
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

/* The sentence of a reason, with its word. */
static void
say_reason(struct ctl_page *p, struct hb_span word)
{
	ctl_say(p, "%s [", hb_reason_text(hb_reason_find(word)));
	ctl_say_safe(p, word);
	ctl_say(p, "]");
}

/* --- where it goes ------------------------------------------------------ */

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

	ctl_say_safe(p, hb_span(words, at));
	if (r->kind == HB_ROUTE_ERROR || r->kind == HB_ROUTE_PIPE)
		ctl_say_quoted(p, what);
	else
		ctl_say_safe(p, what);
	if (r->port != 0)
		ctl_say(p, " port %u", r->port);
	ctl_say(p, "%s", words + at + 2);
}

static void
say_route(struct ctl_page *p, struct hb_span route)
{
	struct hb_route r;

	if (hb_route_parse(route, &r) == 0)
		say_place(p, &r);
	else
		ctl_say_quoted(p, route);
}

static bool
is_by_mx(const json_t *e)
{
	return hb_span_has_prefix_nocase(ctl_member(e, "route"),
	    HB_SPAN("mx:"));
}

static void
say_rule(struct ctl_page *p, const json_t *e)
{
	if (has(e, "rule")) {
		ctl_say(p, "  This server's configuration says so: `");
		ctl_say_member(p, e, "rule");
		ctl_say(p, "'.");
	} else if (is_by_mx(e)) {
		ctl_say(p, "  This server's configuration has no other rule for "
		       "it.");
	}
}

static void
put_recipients(struct ctl_page *p, const json_t *list)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
	{
		ctl_say_member(p, v, "address");
		ctl_say(p, " goes ");
		say_route(p, ctl_member(v, "route"));
		ctl_say(p, ".");
		p->indent = "    ";
		ctl_say_end(p);
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

	ctl_say(p, "This address is an alias on this server: it stands for ");
	if (json_array_size(list) > 1)
		ctl_say(p, "%zu recipients.", json_array_size(list));
	else
		ctl_say_member(p, e, "for");
	if (json_array_size(list) <= 1)
		ctl_say(p, ".");
	ctl_say_end(p);
	put_recipients(p, list);
	if (json_array_size(list) > 1 && has(e, "policy_domain")) {
		ctl_say(p, "The rest of this page is about ");
		ctl_say_member(p, e, has(e, "for") ? "for" : "address");
		ctl_say(p, ".");
		ctl_say_end(p);
	}
}

/* An address, or all addresses of a domain. */
static void
say_whose(struct ctl_page *p, const json_t *e)
{
	struct hb_span whose = ctl_member(e, has(e, "for") ? "for" : "address");

	ctl_say(p, "Mail for %s",
	    hb_span_find(whose, '@') == whose.n ? "addresses at " : "");
	ctl_say_safe(p, whose);
}

static void
put_where(struct ctl_page *p, const json_t *e)
{
	ctl_say_block(p, "Where it goes");
	if (is_renamed(e))
		put_alias(p, e);
	if (!has(e, "route")) {
		ctl_say(p, "Nowhere.");
	} else if (json_array_size(json_object_get(e, "recipients")) <= 1) {
		size_t at;

		say_whose(p, e);
		ctl_say(p, " goes ");
		at = p->para.n;
		say_route(p, ctl_member(e, "route"));
		ctl_say(p, "%s", p->para.n > at ? "." : "");
		say_rule(p, e);
	}
	ctl_say_end(p);
}

/* --- what the domain asks for ------------------------------------------- */

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
};

static void
put_policy_age(struct ctl_page *p, const json_t *policy)
{
	int64_t fetched = 0, refreshed = 0;

	(void)ctl_time(policy, "fetched", &fetched);
	(void)ctl_time(policy, "refreshed", &refreshed);
	ctl_say(p, "This server %s the policy (id ",
	    is_word(policy, "source", "imported") ? "was given" : "fetched");
	ctl_say_member(p, policy, "id");
	ctl_say(p, ") ");
	ctl_say_past(p, policy, "fetched");
	if (refreshed > fetched + 60000) {
		ctl_say(p, ", looked at it again ");
		ctl_say_past(p, policy, "refreshed");
	}
	ctl_say(p, ", and holds to it until ");
	ctl_say_time(p, policy, "expires");
	ctl_say(p, ".");
	ctl_say_end(p);
}

/* The record in DNS beside the policy that is held. */
static void
put_txt(struct ctl_page *p, const json_t *e)
{
	const json_t *txt = json_object_get(e, "txt");
	struct hb_span id = ctl_member(txt, "id");

	if (has(txt, "reason")) {
		ctl_say(p, "What DNS says of the policy now: ");
		say_reason(p, ctl_member(txt, "reason"));
		ctl_say(p, ".  That does not end a policy that is held.");
	} else if (id.n > 0 &&
	    !hb_span_eq(id, ctl_member(json_object_get(e, "policy"), "id"))) {
		ctl_say(p, "The domain announces another version now (id ");
		ctl_say_safe(p, id);
		ctl_say(p, "), which this server does not have yet; until it does "
		       "the one above holds.");
	}
	ctl_say_end(p);
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
	const char *mode = find_said(modes, HB_ARRAY_LEN(modes),
	    ctl_member(policy, "mode"));

	ctl_say_member(p, policy, "domain");
	ctl_say(p, "%s", mode != NULL ? mode : " has a policy.");
	if (json_array_size(json_object_get(policy, "mx")) > 0) {
		ctl_say(p, "  It lists ");
		ctl_say_list(p, json_object_get(policy, "mx"));
		ctl_say(p, ".%s", has_star(json_object_get(policy, "mx"))
			? "  (A star stands for one part of a name.)" : "");
	}
	ctl_say_end(p);
	put_policy_age(p, policy);
	if (has(policy, "last_error")) {
		ctl_say(p, "The last attempt to fetch it anew failed: ");
		say_reason(p, ctl_member(policy, "last_error"));
		ctl_say(p, ".  The policy holds all the same until it expires.");
		ctl_say_end(p);
	}
	put_txt(p, e);
}

static void
put_no_policy(struct ctl_page *p, const json_t *e)
{
	if (!has(e, "policy_domain")) {
		ctl_say(p, "Nothing: there is no domain that could publish a "
		       "policy for this way.");
	} else if (has(e, "no_policy")) {
		ctl_say(p, "There is nothing to hold to: ");
		say_reason(p, ctl_member(e, "no_policy"));
		ctl_say(p, ".");
	} else {
		ctl_say(p, "It was not asked: this server's operator has said all "
		       "there is to say.");
	}
	ctl_say_end(p);
}

static void
put_demand(struct ctl_page *p, const json_t *e)
{
	if (has(e, "policy_domain")) {
		hb_buf_adds(p->out, "\nWhat ");
		ctl_safe(p->out, ctl_member(e, "policy_domain"));
		hb_buf_adds(p->out, " asks for\n");
		p->indent = "  ";
	} else {
		ctl_say_block(p, "What is asked for");
	}
	if (json_is_object(json_object_get(e, "policy")))
		put_policy(p, e);
	else
		put_no_policy(p, e);
}

/* --- signed records, memory, the operator ------------------------------- */

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
};

static void
put_dane(struct ctl_page *p, const json_t *e)
{
	const json_t *d = json_object_get(e, "dane");
	const json_t *signed_mx = json_object_get(d, "mx_signed");
	const char *resolver = find_said(resolver_words,
	    HB_ARRAY_LEN(resolver_words), ctl_member(d, "resolver"));

	if (!json_is_object(d) ||
	    json_array_size(json_object_get(e, "mx")) == 0)
		return;
	ctl_say_block(p, "Signed records (DANE)");
	if (is_word(d, "state", "off"))
		ctl_say(p, "This server's operator has turned them off.");
	else if (is_word(d, "state", "unasked"))
		ctl_say(p, "They were not asked for: they do not count here.");
	else if (resolver != NULL)
		ctl_say(p, "%s", resolver);
	if (json_is_boolean(signed_mx))
		ctl_say(p, "  The list of the domain's mail hosts is %s.",
		    json_is_true(signed_mx) ? "signed" : "not signed");
	ctl_say_end(p);
}

static const struct said rank_words[] = {
	{ "plain", "plain text" },
	{ "tls", "encryption without proof of the host's name" },
	{ "verified", "encryption with proof of the host's name" },
	{ "sts", "encryption as the domain's policy (MTA-STS) demands" },
	{ "dane", "encryption as signed records (DANE) demand" },
};

static const char *
rank_text(struct hb_span word)
{
	const char *text =
	    find_said(rank_words, HB_ARRAY_LEN(rank_words), word);

	return text != NULL ? text : "nothing yet";
}

static const struct said memory_words[] = {
	{ "off", "A worse one goes unsaid: this server's operator wants it "
		 "so." },
	{ "warn", "A worse one is logged; that alone holds no mail back." },
	{ "defer", "With a worse one the mail waits: this server's operator "
		   "wants it so." },
};

/* The one command against waiting for what will not come back. */
static void
say_forget(struct ctl_page *p, const json_t *e)
{
	ctl_say(p, "`hauberkctl ledger forget ");
	ctl_say_member(p, e, "policy_domain");
	ctl_say(p, "' lets that be forgotten: where it has changed for good, or "
		   "somebody on the way made it look better once.");
	ctl_say_end(p);
}

static void
put_ledger(struct ctl_page *p, const json_t *e)
{
	const json_t *l = json_object_get(e, "ledger");
	const char *memory = find_said(memory_words,
	    HB_ARRAY_LEN(memory_words), ctl_member(l, "memory"));

	if (!json_is_object(l))
		return;
	ctl_say_block(p, "What was seen before");
	if (is_word(l, "best", "none")) {
		ctl_say(p, "No mail has gone this way yet.");
	} else {
		ctl_say(p, "The best connection so far: %s",
		    rank_text(ctl_member(l, "best")));
		if (has(l, "since")) {
			ctl_say(p, ", first seen ");
			ctl_say_past(p, l, "since");
		}
		ctl_say(p, ".  %s", memory != NULL ? memory : "");
	}
	ctl_say_end(p);
	if (!is_word(l, "best", "none") && is_word(l, "memory", "defer"))
		say_forget(p, e);
}

static const struct said level_words[] = {
	{ "none", "no encryption is asked for, whatever the domain says" },
	{ "may", "the usual order: what the domain publishes counts" },
	{ "encrypt", "encryption is demanded, proof of the name is not" },
	{ "verify", "encryption and proof of the name are demanded" },
	{ "sts", "a mail security policy (MTA-STS) in force is demanded" },
	{ "dane", "signed records (DANE) that fit are demanded" },
};

static void
put_level(struct ctl_page *p, const json_t *op)
{
	const char *text = find_said(level_words, HB_ARRAY_LEN(level_words),
	    ctl_member(op, "level"));

	if (text == NULL || !has(op, "rule"))
		return;
	ctl_say(p, "`");
	ctl_say_member(p, op, "rule");
	ctl_say(p, "': %s", text);
	if (json_array_size(json_object_get(op, "names")) > 0) {
		ctl_say(p, ", also under the names ");
		ctl_say_list(p, json_object_get(op, "names"));
	}
	if (has(op, "until")) {
		ctl_say(p, ", until ");
		ctl_say_time(p, op, "until");
	}
	ctl_say(p, ".");
	if (has(op, "reason")) {
		ctl_say(p, "  The reason given: ");
		ctl_say_quoted(p, ctl_member(op, "reason"));
		ctl_say(p, ".");
	}
	ctl_say_end(p);
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
	bool said = has(op, "rule");

	for (size_t i = 0; i < HB_ARRAY_LEN(general_words); i++)
		said = said || is_in_force(op, i);
	if (!said)
		return;
	ctl_say_block(p, "What this server's operator says");
	put_level(p, op);
	for (size_t i = 0; i < HB_ARRAY_LEN(general_words); i++) {
		if (!is_in_force(op, i))
			continue;
		ctl_say(p, "%s", general_words[i].text);
		ctl_say_end(p);
	}
}

/* --- the mail hosts ----------------------------------------------------- */

static const struct said host_words[] = {
	{ "proceed", "It would get the mail" },
	{ "skip", "It would be passed over" },
	{ "defer", "It would not get the mail now" },
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
	const char *text = find_said(host_words, HB_ARRAY_LEN(host_words),
	    ctl_member(host, "verdict"));

	if (is_open(host) && !has(host, "tls")) {
		ctl_say(p, "It would be tried: nothing is held against it "
			   "before it is connected to [");
		ctl_say_member(p, host, "reason");
		ctl_say(p, "].");
	} else {
		ctl_say(p, "%s: ", text != NULL ? text : "Not judged");
		say_reason(p, ctl_member(host, "reason"));
		ctl_say(p, ".");
	}
	if (has(host, "report") && !is_word(host, "verdict", "skip") &&
	    !is_word(host, "verdict", "defer")) {
		ctl_say(p, "  A fault that does not stop the mail: ");
		say_reason(p, ctl_member(host, "report"));
		ctl_say(p, ".");
	}
	if (has(host, "text") && !hb_span_eq(ctl_member(host, "text"),
	    ctl_member(json_object_get(host, "certificate"), "error"))) {
		ctl_say(p, "  What was seen: ");
		ctl_say_quoted(p, ctl_member(host, "text"));
		ctl_say(p, ".");
	}
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
	ctl_say(p, "Signed records (DANE): ");
	ctl_say_member(p, d, "text");
	if (n > 0) {
		ctl_say(p, ", at ");
		ctl_say_member(p, d, "base");
	}
	ctl_say(p, "%s", n > 0 ? ":" : ".");
	ctl_say_end(p);
	p->indent = "      ";
	json_array_foreach(json_object_get(d, "records"), i, v)
	{
		ctl_say_safe(p, hb_span_head(ctl_string(v), TLSA_SHOWN));
		ctl_say(p, "%s", ctl_string(v).n > TLSA_SHOWN ? "..." : "");
		ctl_say_end(p);
	}
	p->indent = "    ";
}

static void
say_certificate(struct ctl_page *p, const json_t *cert)
{
	int64_t ms;

	ctl_say(p, "Certificate: for ");
	if (json_array_size(json_object_get(cert, "names")) > 0)
		ctl_say_list(p, json_object_get(cert, "names"));
	else
		ctl_say(p, "no name");
	if (has(cert, "issuer")) {
		ctl_say(p, "; issued by ");
		ctl_say_quoted(p, ctl_member(cert, "issuer"));
	}
	if (ctl_time(cert, "expires", &ms)) {
		ctl_say(p, "; %s ", ms < p->now_ms ? "expired" : "good until");
		ctl_say_time(p, cert, "expires");
	}
	ctl_say(p, ".");
	if (has(cert, "error")) {
		ctl_say(p, "  What did not fit: ");
		ctl_say_member(p, cert, "error");
		ctl_say(p, ".");
	}
}

/* What stands behind the slash of "TLSv1.3/verified". */
static const struct said proofs[] = {
	{ "verified", "the host proved its name with its certificate" },
	{ "dane", "the certificate is the one that signed records promise" },
	{ "unverified", "the host's name was not proved" },
};

static void
say_tls(struct ctl_page *p, const json_t *host)
{
	struct hb_span proof = ctl_member(host, "tls"),
		       version = hb_span_cut(&proof, '/');
	const char *text = find_said(proofs, HB_ARRAY_LEN(proofs), proof);

	ctl_say(p, "The connection: ");
	if (text == NULL) {
		ctl_say(p, "not encrypted.");
		return;
	}
	ctl_say(p, "encrypted (");
	ctl_say_safe(p, version);
	if (has(host, "cipher")) {
		ctl_say(p, ", ");
		ctl_say_member(p, host, "cipher");
	}
	ctl_say(p, "); %s.", text);
}

static void
put_connection(struct ctl_page *p, const json_t *host)
{
	const json_t *cert = json_object_get(host, "certificate");

	if (has(host, "tls")) {
		say_tls(p, host);
		ctl_say_end(p);
	}
	if (json_is_object(cert)) {
		say_certificate(p, cert);
		ctl_say_end(p);
	}
	if (json_is_true(json_object_get(host, "fell"))) {
		ctl_say(p, "That is worse than the best seen before: %s.",
		    rank_text(ctl_member(host, "ledger")));
		ctl_say_end(p);
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
	return hb_reason_result(r) == HB_RESULT_DEFER ? "address not known now"
						      : "has no address";
}

static void
put_host(struct ctl_page *p, const json_t *host, bool by_mx)
{
	const json_t *addrs = json_object_get(host, "addresses");
	const char *homeless = why_homeless(host);

	ctl_say_member(p, host, "name");
	if (by_mx) {
		ctl_say(p, ", preference ");
		ctl_say_member(p, host, "preference");
	}
	if (json_array_size(addrs) > 0) {
		ctl_say(p, ", at ");
		ctl_say_list(p, addrs);
	} else if (homeless != NULL) {
		ctl_say(p, ", %s", homeless);
	}
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
	ctl_say_block(p, json_array_size(list) > 1
		? "The mail hosts, in the order in which they are tried"
		: "The mail host");
	json_array_foreach(list, i, v)
		put_host(p, v, is_by_mx(e));
	p->indent = "  ";
	if (!json_is_true(json_object_get(e, "live"))) {
		ctl_say(p, "Nothing was connected to; `explain --live' does "
			   "that, and sends no mail.");
		ctl_say_end(p);
	}
}

/* --- the outcome -------------------------------------------------------- */

static const struct said outcomes[] = {
	{ "proceed", "Mail would be sent" },
	{ "defer", "Mail would wait and be tried again" },
	{ "fail", "Mail would be returned to its sender" },
};

static void
put_outcome(struct ctl_page *p, const json_t *e)
{
	const char *text = find_said(outcomes, HB_ARRAY_LEN(outcomes),
	    ctl_member(e, "verdict"));

	ctl_say_block(p, "The outcome");
	if (is_word(e, "reason", "ok")) {
		ctl_say(p, "Mail would be delivered.");
	} else if (is_open(e) && !json_is_true(json_object_get(e, "live"))) {
		ctl_say(p, "Mail would be sent, unless the connection falls "
			   "short of what is demanded [");
		ctl_say_member(p, e, "reason");
		ctl_say(p, "].");
	} else {
		ctl_say(p, "%s: ", text != NULL ? text : "Not known");
		say_reason(p, ctl_member(e, "reason"));
		ctl_say(p, ".");
	}
	if (has(e, "text") && !is_word(e, "reason", "ok")) {
		ctl_say(p, "  The words: ");
		ctl_say_quoted(p, ctl_member(e, "text"));
		ctl_say(p, ".");
	}
	ctl_say_end(p);
	if (!has(e, "change"))
		return;
	ctl_say_block(p, "What would change it");
	ctl_say_member(p, e, "change");
	ctl_say_end(p);
}

void
ctl_explain_page(struct hb_buf *out, const json_t *e)
{
	struct ctl_page p = { .out = out, .para = HB_BUF_INIT(0), .indent = "" };
	bool remote = json_object_get(e, "live") != NULL;

	(void)ctl_time(e, "time", &p.now_ms);
	ctl_say_member(&p, e, "address");
	ctl_say_end(&p);
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
