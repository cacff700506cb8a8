/* Command lines and parameters.  Floor 1. */
#include "common/proto/esmtp.h"

#include "common/base/err.h"
#include "common/proto/intake.h"
#include "common/proto/xtext.h"

enum { VERB_MAX = 32 };

int
hb_command_split(struct hb_span line, struct hb_span *verb,
    struct hb_span *args)
{
	size_t n = 0;

	for (size_t i = 0; i < line.n; i++)
		if ((line.p[i] < ' ' && line.p[i] != '\t') || line.p[i] == 127)
			return HB_E_SYNTAX;
	while (n < line.n && hb_is_alpha(line.p[n]))
		n++;
	if (n == 0 || n > VERB_MAX ||
	    (n < line.n && !hb_is_blank(line.p[n])))
		return HB_E_SYNTAX;
	*verb = hb_span_head(line, n);
	*args = hb_span_trim(hb_span_from(line, n));
	return 0;
}

/* A mailbox without its brackets at the front of S: bytes used. */
static int
bare_path(struct hb_span s, unsigned addr_flags, struct hb_addr *path)
{
	struct hb_span rest = s, word = hb_span_word(&rest);
	int r = hb_addr_parse(word, addr_flags & ~HB_ADDR_NULL, path);

	if (r == 0 && word.n + 2 > HB_MAX_PATH) {
		path->fault = HB_ADDR_FAULT_LONG;
		r = HB_E_RANGE;
	}
	if (r < 0 && hb_span_find(word, '>') < word.n)
		path->fault = HB_ADDR_FAULT_NO_OPEN;
	return r < 0 ? r : (int)word.n;
}

int
hb_command_path(struct hb_span args, struct hb_span prefix,
    unsigned addr_flags, struct hb_addr *path, struct hb_span *params)
{
	bool bare = (addr_flags & HB_COMMAND_NO_BRACKETS) != 0;
	int r;

	addr_flags &= ~HB_COMMAND_NO_BRACKETS;
	memset(path, 0, sizeof(*path));
	path->fault = prefix.n > 3 ? HB_ADDR_FAULT_NO_FROM
				   : HB_ADDR_FAULT_NO_TO;
	if (!hb_span_has_prefix_nocase(args, prefix))
		return HB_E_SYNTAX;
	args = hb_span_trim(hb_span_from(args, prefix.n));
	path->fault = HB_ADDR_FAULT_MISSING;
	if (args.n == 0)
		return HB_E_SYNTAX;
	r = bare && args.p[0] != '<' ? bare_path(args, addr_flags, path)
				     : hb_addr_parse_path(args, addr_flags,
					   path);
	if (r < 0)
		return r;
	*params = hb_span_from(args, (size_t)r);
	if (params->n == 0 || hb_is_blank(params->p[0]))
		return 0;
	path->fault = HB_ADDR_FAULT_BEHIND;
	return HB_E_SYNTAX;
}

/* RFC 1870 s3: 1 to 20 digits. */
static int
take_size(struct hb_span v, struct hb_params *out)
{
	int r = hb_span_u64(v, UINT64_MAX, &out->size);

	if (r == HB_E_RANGE) {
		out->size = UINT64_MAX;
		return 0;
	}
	return r;
}

struct ehlo_word {
	const char *word;
	uint32_t value;
};

static int
find_word(const struct ehlo_word *w, size_t n, struct hb_span v, uint32_t *out)
{
	for (size_t i = 0; i < n; i++)
		if (hb_span_eq_nocase(v, hb_span_str(w[i].word))) {
			*out = w[i].value;
			return 0;
		}
	return HB_E_SYNTAX;
}

static int
take_body(struct hb_span v, struct hb_params *out)
{
	static const struct ehlo_word words[] = { { "7BIT", HB_BODY_7BIT },
		{ "8BITMIME", HB_BODY_8BITMIME } };

	return find_word(words, HB_ARRAY_LEN(words), v, &out->body);
}

static int
take_ret(struct hb_span v, struct hb_params *out)
{
	static const struct ehlo_word words[] = { { "FULL", HB_RET_FULL },
		{ "HDRS", HB_RET_HDRS } };

	return find_word(words, HB_ARRAY_LEN(words), v, &out->ret);
}

static int
take_envid(struct hb_span v, struct hb_params *out)
{
	out->envid = v;
	return v.n <= HB_MAX_ENVID && hb_xtext_is_valid(v) ? 0 : HB_E_SYNTAX;
}

/* RFC 4954 s5: xtext of a mailbox, or "<>". */
static int
take_auth(struct hb_span v, struct hb_params *out)
{
	out->auth = v;
	return v.n <= HB_MAX_PATH && hb_xtext_is_valid(v) ? 0 : HB_E_SYNTAX;
}

static const struct ehlo_word notify_words[] = { { "NEVER", HB_NOTIFY_NEVER },
	{ "SUCCESS", HB_NOTIFY_SUCCESS }, { "FAILURE", HB_NOTIFY_FAILURE },
	{ "DELAY", HB_NOTIFY_DELAY } };

/* RFC 3461 s4.1: NEVER stands alone. */
static int
take_notify(struct hb_span v, struct hb_params *out)
{
	bool more = true;

	out->notify = 0;
	while (more) {
		uint32_t bit;
		int r;

		more = hb_span_find(v, ',') < v.n;
		r = find_word(notify_words, HB_ARRAY_LEN(notify_words),
		    hb_span_cut(&v, ','), &bit);
		if (r < 0)
			return r;
		out->notify |= bit;
	}
	return (out->notify & HB_NOTIFY_NEVER) != 0 &&
		out->notify != HB_NOTIFY_NEVER
	    ? HB_E_SYNTAX
	    : 0;
}

void
hb_notify_format(uint32_t notify, struct hb_buf *out)
{
	const char *before = "";

	for (size_t i = 0; i < HB_ARRAY_LEN(notify_words); i++) {
		if ((notify & notify_words[i].value) == 0)
			continue;
		hb_buf_adds(out, before);
		hb_buf_adds(out, notify_words[i].word);
		before = ",";
	}
}

/* RFC 3461 s4.2: type ";" xtext, kept byte for byte. */
static int
take_orcpt(struct hb_span v, struct hb_params *out)
{
	out->orcpt = v;
	return v.n > 0 && v.n <= HB_MAX_ORCPT && hb_intake_is_orcpt(v)
	    ? 0 : HB_E_SYNTAX;
}

/* RFC 6531 s3.4, RFC 8689 s2: a keyword without value. */
#define take_nothing NULL

static const struct {
	const char *word;
	enum hb_param_command command;
	int (*take)(struct hb_span value, struct hb_params *out);
} table[HB_PARAM_COUNT] = {
#define X(sym, name, command) { #sym, HB_PARAM_FOR_##command, take_##name },
	HB_PARAMS(X)
#undef X
};

static int
take_one(struct hb_span word, enum hb_param_command command, unsigned allowed,
    struct hb_params *out)
{
	bool has_value = hb_span_find(word, '=') < word.n;
	struct hb_span key = hb_span_cut(&word, '=');

	for (unsigned i = 0; i < HB_PARAM_COUNT; i++) {
		if (table[i].command != command || (allowed >> i & 1) == 0 ||
		    !hb_span_eq_nocase(key, hb_span_str(table[i].word)))
			continue;
		if ((out->seen >> i & 1) != 0 ||
		    has_value != (table[i].take != NULL))
			return HB_E_SYNTAX;
		out->seen |= 1u << i;
		return has_value ? table[i].take(word, out) : 0;
	}
	return HB_E_UNSUPPORTED;
}

int
hb_params_parse(struct hb_span s, enum hb_param_command command,
    unsigned allowed, struct hb_params *out)
{
	struct hb_span word;

	memset(out, 0, sizeof(*out));
	while ((word = hb_span_word(&s)).n > 0) {
		int r = take_one(word, command, allowed, out);

		if (r < 0) {
			out->wrong = word;
			return r;
		}
	}
	return 0;
}
