/* The command line of sendmail.  Floor 4. */
#include "config.h"

#include "common/tools/smopts.h"

#include <getopt.h>
#include <sysexits.h>

#include "common/base/buf.h"
#include "common/proto/esmtp.h"

/* sendmail's whole list; those with two colons take only an argument that
 * is attached. */
static const char letters[] = "+:A:B:b:C:cD:d::e:F:f:Gh:IiL:M:mN:nO:o:p:Q::q::"
			      "R:r:sTtUV:vX:";

static const char bad_mode[] = "this mode is not known; the server itself is "
			       "hauberkd";

/* Each takes the value of its option: 0, or EX_USAGE with *WHY. */

static int
take_mode(struct sm_opts *o, const char *arg, const char **why)
{
	static const struct {
		char letter;
		enum sm_mode mode;
	} modes[] = { { 'm', SM_DELIVER }, { 's', SM_SMTP }, { 'p', SM_LIST },
		{ 'i', SM_ALIASES }, { 'v', SM_VERIFY }, { 't', SM_TEST } };

	for (size_t i = 0; i < HB_ARRAY_LEN(modes); i++)
		if (arg[0] == modes[i].letter && arg[1] == '\0') {
			o->mode = modes[i].mode;
			return 0;
		}
	*why = bad_mode;
	return EX_USAGE;
}

static bool
is_true(struct hb_span value)
{
	return value.n == 0 || hb_lower(value.p[0]) == 't' ||
	    hb_lower(value.p[0]) == 'y' || value.p[0] == '1';
}

/* -o: one letter and its value; -O: a name and its value.  Only what is about
 * dots and TLS is ours. */
static int
take_short(struct sm_opts *o, const char *arg, const char **why)
{
	if (arg[0] == 'i')
		o->ignore_dots = is_true(hb_span_str(arg + 1));
	return 0;
}

static int
take_long(struct sm_opts *o, const char *arg, const char **why)
{
	struct hb_span value = hb_span_str(arg),
		       name = hb_span_cut(&value, '=');

	if (hb_span_eq_nocase(name, HB_SPAN("RequireTLS"))) {
		/* A word that is neither would leave the sender in a false
		 * belief. */
		o->require_tls = is_true(value);
		*why = "-O requiretls is yes or no";
		return o->require_tls ||
		    strchr("fn0", hb_lower(value.p[0])) != NULL ? 0 : EX_USAGE;
	}
	if (hb_span_eq_nocase(name, HB_SPAN("IgnoreDots")))
		o->ignore_dots = is_true(value);
	return 0;
}

/* A value in the words of an SMTP parameter. */
static int
take_param(const char *name, enum hb_param_command command, unsigned allowed,
    const char *arg, struct hb_params *p)
{
	struct hb_buf b = HB_BUF_INIT(0);
	int r;

	hb_buf_addf(&b, "%s=%s", name, arg);
	r = hb_params_parse(hb_buf_span(&b), command, allowed, p);
	hb_buf_free(&b);
	return r == 0 ? 0 : EX_USAGE;
}

static int
take_body(struct sm_opts *o, const char *arg, const char **why)
{
	struct hb_params p;

	*why = "-B is 7BIT or 8BITMIME";
	if (take_param("BODY", HB_PARAM_FOR_MAIL, HB_PARAM_BODY, arg, &p) != 0 ||
	    p.body == HB_BODY_BINARY)
		return EX_USAGE;
	o->body = p.body;
	return 0;
}

static int
take_notify(struct sm_opts *o, const char *arg, const char **why)
{
	struct hb_params p;

	*why = "-N is never, or success,failure,delay";
	if (take_param("NOTIFY", HB_PARAM_FOR_RCPT, HB_PARAM_NOTIFY, arg,
		&p) != 0)
		return EX_USAGE;
	o->notify = p.notify;
	return 0;
}

static int
take_ret(struct sm_opts *o, const char *arg, const char **why)
{
	struct hb_params p;

	*why = "-R is full or hdrs";
	if (take_param("RET", HB_PARAM_FOR_MAIL, HB_PARAM_RET, arg, &p) != 0)
		return EX_USAGE;
	o->ret = p.ret;
	return 0;
}

/* -q alone, with a time, or with what to run. */
static int
take_queue(struct sm_opts *o, const char *arg, const char **why)
{
	o->mode = SM_FLUSH;
	if (arg == NULL || (arg[0] != 'I' && arg[0] != 'R' && arg[0] != 'S'))
		return 0;
	*why = "-q runs all, -qI an id, -qR a domain";
	if (arg[0] == 'S' || arg[1] == '\0')
		return EX_USAGE;
	o->flush = arg + 1;
	return 0;
}

/* An option keeps its value (TEXT), turns something ON, or is looked at. */
#define TEXT(field) .text = offsetof(struct sm_opts, field)
#define ON(field) .on = offsetof(struct sm_opts, field)
static const struct {
	char letter;
	size_t text, on;
	int (*take)(struct sm_opts *o, const char *arg, const char **why);
} acts[] = {
	{ 'B', .take = take_body }, { 'b', .take = take_mode },
	{ 'C', TEXT(conf) }, { 'F', TEXT(full_name) }, { 'f', TEXT(sender) },
	{ 'i', ON(ignore_dots) }, { 'N', .take = take_notify },
	{ 'O', .take = take_long }, { 'o', .take = take_short },
	{ 'q', .take = take_queue }, { 'R', .take = take_ret },
	{ 'r', TEXT(sender) }, { 't', ON(from_header) }, { 'V', TEXT(envid) },
	{ 'v', ON(verbose) },
};

static int
take(struct sm_opts *o, int letter, const char *arg, const char **why)
{
	for (size_t i = 0; i < HB_ARRAY_LEN(acts); i++) {
		if (acts[i].letter != letter)
			continue;
		if (acts[i].take != NULL)
			return acts[i].take(o, arg, why);
		if (acts[i].on != 0)
			*(bool *)((char *)o + acts[i].on) = true;
		else
			memcpy((char *)o + acts[i].text, &arg, sizeof(arg));
		return 0;
	}
	return 0; /* of old: taken and ignored */
}

static enum sm_mode
mode_of_name(const char *path)
{
	struct hb_span name = hb_span_str(path);

	while (hb_span_find(name, '/') < name.n)
		(void)hb_span_cut(&name, '/');
	if (hb_span_eq(name, HB_SPAN("mailq")))
		return SM_LIST;
	if (hb_span_eq(name, HB_SPAN("newaliases")))
		return SM_ALIASES;
	return SM_DELIVER;
}

int
sm_opts_parse(int argc, char **argv, struct sm_opts *o, const char **why)
{
	int c;

	*o = (struct sm_opts){ .mode = mode_of_name(argv[0]) };
	optind = 0; /* GNU: from the beginning, "+" read again */
	opterr = 0;
	while ((c = getopt(argc, argv, letters)) != -1) {
		if (c == '?' || c == ':') {
			o->wrong = optopt;
			*why = c == ':' ? "this option lacks its value"
					: "this option is not known";
			return EX_USAGE;
		}
		if (take(o, c, optarg, why) != 0) {
			o->wrong = c;
			return EX_USAGE;
		}
	}
	o->rcpts = argv + optind;
	o->nrcpts = argc - optind;
	return 0;
}
