/* SCRAM-SHA-256 as the server.  Floor 1.  See common/proto/scram.h. */
#include "common/proto/scram.h"

#include <stdlib.h>

#include "common/base/err.h"
#include "common/base/mem.h"
#include "common/proto/base64.h"

#define MARK HB_SPAN("{SCRAM-SHA-256}")
#define BINDING HB_SPAN("p=tls-exporter")

struct hb_scram *
hb_scram_new(bool plus)
{
	struct hb_scram *s = HB_NEW(struct hb_scram);

	s->plus = plus;
	return s;
}

void
hb_scram_free(struct hb_scram **s)
{
	if (*s == NULL)
		return;
	hb_buf_free(&(*s)->gs2);
	hb_buf_free(&(*s)->user);
	hb_buf_free(&(*s)->nonce);
	hb_buf_wipe(&(*s)->message);
	hb_buf_free(&(*s)->say);
	hb_wipe((*s)->proof, HB_SHA256);
	free(*s);
	*s = NULL;
}

/* --- grammar, RFC 5802 s7 --- */

/* The next attribute if it is NAME=, its value; without it HB_E_SYNTAX. */
static int
take(struct hb_span *rest, char name, struct hb_span *value)
{
	struct hb_span a = hb_span_cut(rest, ',');

	if (a.n < 2 || a.p[0] != (unsigned char)name || a.p[1] != '=')
		return HB_E_SYNTAX;
	*value = hb_span_from(a, 2);
	return 0;
}

/* A name: =2C is a comma, =3D the mark itself, other uses of = are errors. */
static int
decode_name(struct hb_span s, struct hb_buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		struct hb_span three = hb_span_head(hb_span_from(s, i), 3);
		unsigned char c = s.p[i];

		if (c == '\0')
			return HB_E_SYNTAX;
		if (c == '=' && hb_span_eq(three, HB_SPAN("=2C")))
			c = ',';
		else if (c == '=' && !hb_span_eq(three, HB_SPAN("=3D")))
			return HB_E_SYNTAX;
		if (s.p[i] == '=')
			i += 2;
		hb_buf_add(out, hb_span(&c, 1));
	}
	return out->n > 0 ? 0 : HB_E_SYNTAX;
}

static bool
is_nonce(struct hb_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n > 0;
}

/* May a client with this flag use the mechanism?  s6: one that could bind and
 * believes that we cannot was lied to. */
static bool
is_flag(const struct hb_scram *s, struct hb_span flag, bool plus_offered)
{
	if (s->plus)
		return hb_span_eq(flag, BINDING);
	if (hb_span_eq(flag, HB_SPAN("y")))
		return !plus_offered;
	return hb_span_eq(flag, HB_SPAN("n"));
}

/* Who acts for whom: only oneself. */
static bool
is_own(const struct hb_scram *s, struct hb_span authzid)
{
	struct hb_buf name = HB_BUF_INIT(0);
	struct hb_span value;
	bool own = authzid.n == 0 ||
	    (take(&authzid, 'a', &value) == 0 &&
		decode_name(value, &name) == 0 &&
		hb_span_eq(hb_buf_span(&name), hb_buf_span(&s->user)));

	hb_buf_free(&name);
	return own;
}

int
hb_scram_first(struct hb_scram *s, struct hb_span msg, bool plus_offered)
{
	struct hb_span rest = msg, bare, flag, authzid, user, nonce;

	if (msg.n > HB_SCRAM_FIRST)
		return HB_E_SYNTAX;
	flag = hb_span_cut(&rest, ',');
	authzid = hb_span_cut(&rest, ',');
	bare = rest;
	/* An extension that must be known (m=) is not a name: refused. */
	if (!is_flag(s, flag, plus_offered) || take(&rest, 'n', &user) < 0 ||
	    decode_name(user, &s->user) < 0 || !is_own(s, authzid) ||
	    take(&rest, 'r', &nonce) < 0 || !is_nonce(nonce))
		return HB_E_SYNTAX;
	hb_buf_add(&s->gs2, hb_span_head(msg, msg.n - bare.n));
	hb_buf_add(&s->nonce, nonce);
	hb_buf_add(&s->message, bare);
	return 0;
}

static void
add_base64(struct hb_span s, struct hb_buf *out)
{
	if (hb_base64_encode(s, out) < 0)
		HB_BUG("a buffer with a bound");
}

void
hb_scram_challenge(struct hb_scram *s, struct hb_span salt,
    uint32_t iterations, struct hb_span nonce)
{
	struct hb_buf *out = &s->say;

	hb_buf_clear(out);
	hb_buf_add(&s->nonce, nonce);
	hb_buf_adds(out, "r=");
	hb_buf_add(out, hb_buf_span(&s->nonce));
	hb_buf_adds(out, ",s=");
	add_base64(salt, out);
	hb_buf_addf(out, ",i=%u", (unsigned)iterations);
	hb_buf_adds(&s->message, ",");
	hb_buf_add(&s->message, hb_buf_span(out));
}

void
hb_scram_signed(struct hb_scram *s, struct hb_span signature)
{
	hb_buf_clear(&s->say);
	hb_buf_adds(&s->say, "v=");
	add_base64(signature, &s->say);
}

/* Is VALUE what c= must be: the start of the first message, and the channel? */
static bool
is_bound(const struct hb_scram *s, struct hb_span value,
    struct hb_span binding)
{
	struct hb_buf want = HB_BUF_INIT(0), text = HB_BUF_INIT(0);
	bool same;

	hb_buf_add(&want, hb_buf_span(&s->gs2));
	if (s->plus)
		hb_buf_add(&want, binding);
	add_base64(hb_buf_span(&want), &text);
	same = hb_span_eq(value, hb_buf_span(&text));
	hb_buf_free(&want);
	hb_buf_free(&text);
	return same && (!s->plus || binding.n > 0);
}

static int
decode_exactly(struct hb_span text, unsigned char *dst, size_t n)
{
	struct hb_buf b = HB_BUF_INIT(n);
	int r = hb_base64_decode(text, &b);

	if (r == 0 && b.n == n)
		memcpy(dst, b.p + b.off, n);
	else
		r = HB_E_SYNTAX;
	hb_buf_wipe(&b);
	return r;
}

int
hb_scram_final(struct hb_scram *s, struct hb_span msg, struct hb_span binding)
{
	struct hb_span rest = msg, channel, nonce, last, value;
	size_t at = msg.n;

	if (msg.n > HB_SCRAM_FINAL)
		return HB_E_SYNTAX;
	while (at > 0 && msg.p[at - 1] != ',')
		at--;
	last = hb_span_from(msg, at); /* the proof; extensions before it */
	if (at == 0 || take(&last, 'p', &value) < 0 ||
	    decode_exactly(value, s->proof, HB_SHA256) < 0 ||
	    take(&rest, 'c', &channel) < 0 || take(&rest, 'r', &nonce) < 0 ||
	    !is_bound(s, channel, binding) ||
	    !hb_span_eq(nonce, hb_buf_span(&s->nonce)))
		return HB_E_SYNTAX;
	hb_buf_adds(&s->message, ",");
	hb_buf_add(&s->message, hb_span_head(msg, at - 1));
	return s->message.n <= HB_SCRAM_MESSAGE ? 0 : HB_E_SYNTAX;
}

/* --- the verifier --- */

bool
hb_scram_is_verifier(struct hb_span text)
{
	return hb_span_has_prefix_nocase(text, MARK);
}

int
hb_scram_verifier_parse(struct hb_span text, struct hb_scram_verifier *v)
{
	struct hb_buf salt = HB_BUF_INIT(HB_SCRAM_SALT);
	struct hb_span rest = hb_span_from(text, MARK.n);
	uint64_t n = 0;
	int r = hb_scram_is_verifier(text) ? 0 : HB_E_SYNTAX;

	if (r == 0)
		r = hb_span_u64(hb_span_cut(&rest, ','), HB_SCRAM_ITERATIONS, &n);
	if (r == 0)
		r = hb_base64_decode(hb_span_cut(&rest, ','), &salt);
	if (r == 0)
		r = decode_exactly(hb_span_cut(&rest, ','), v->stored,
		    HB_SHA256);
	if (r == 0)
		r = decode_exactly(rest, v->server, HB_SHA256);
	v->iterations = (uint32_t)n;
	v->n_salt = salt.n;
	if (salt.n > 0)
		memcpy(v->salt, salt.p + salt.off, salt.n);
	hb_buf_free(&salt);
	return r == 0 && n > 0 && v->n_salt > 0 ? 0 : HB_E_SYNTAX;
}

/* A part of a false verifier: WHAT of USER. */
static void
make_up(const unsigned char key[HB_SHA256], const char *what,
    struct hb_span user, unsigned char out[HB_SHA256])
{
	struct hb_buf b = HB_BUF_INIT(0);

	hb_buf_adds(&b, what);
	hb_buf_add(&b, user);
	hb_buf_lower(&b, 0);
	hb_hmac_sha256(hb_span(key, HB_SHA256), hb_buf_span(&b), out);
	hb_buf_free(&b);
}

void
hb_scram_verifier_fake(const struct hb_scram_verifier *like,
    struct hb_span user, struct hb_scram_verifier *v)
{
	unsigned char key[HB_SHA256];

	make_up(like->server, "key of those that there are not", HB_SPAN_NONE,
	    key);
	*v = (struct hb_scram_verifier){ .iterations = like->iterations,
		.n_salt = like->n_salt };
	make_up(key, "salt 1 ", user, v->salt);
	make_up(key, "salt 2 ", user, v->salt + HB_SHA256);
	make_up(key, "stored ", user, v->stored);
	make_up(key, "server ", user, v->server);
	hb_wipe(key, sizeof(key));
}

/* Takes the same time wherever the first difference is. */
static bool
is_same(const unsigned char *a, const unsigned char *b)
{
	unsigned char d = 0;

	for (size_t i = 0; i < HB_SHA256; i++)
		d |= a[i] ^ b[i];
	return d == 0;
}

bool
hb_scram_check(const struct hb_scram_verifier *v, struct hb_span message,
    const unsigned char proof[HB_SHA256], unsigned char signature[HB_SHA256])
{
	unsigned char key[HB_SHA256], stored[HB_SHA256];
	bool right;

	hb_hmac_sha256(hb_span(v->stored, HB_SHA256), message, key);
	for (size_t i = 0; i < sizeof(key); i++)
		key[i] ^= proof[i];
	hb_sha256(hb_span(key, sizeof(key)), stored);
	right = is_same(stored, v->stored);
	hb_wipe(key, sizeof(key));
	hb_hmac_sha256(hb_span(v->server, HB_SHA256), message, signature);
	return right;
}

bool
hb_scram_is_password(const struct hb_scram_verifier *v,
    struct hb_span password)
{
	unsigned char salted[HB_SHA256], key[HB_SHA256];
	bool right;

	hb_pbkdf2_sha256(password, hb_span(v->salt, v->n_salt), v->iterations,
	    salted);
	hb_hmac_sha256(hb_span(salted, sizeof(salted)), HB_SPAN("Client Key"),
	    key);
	hb_sha256(hb_span(key, sizeof(key)), key);
	right = is_same(key, v->stored);
	hb_wipe(salted, sizeof(salted));
	hb_wipe(key, sizeof(key));
	return right;
}
