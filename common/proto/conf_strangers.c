/* Value parsers of the configuration: what strangers are asked for.
 * Floor 1. */
#include "common/proto/conf-priv.h"

#include "common/base/timefmt.h"
#include "common/proto/dnsbl.h"

/* --- dnsbl ZONE ... [codes=...] --- */

static void
read_codes(struct hb_conf_line *l, const char *text, struct hb_dnsbl *of)
{
	struct hb_span rest = hb_span_str(text);

	do {
		struct hb_span one = hb_span_cut(&rest, ',');
		struct hb_dnsbl_range r;
		void *list = of->codes;

		if (of->n == HB_MAX_DNSBL_CODES) {
			hb_conf_error(l, "more than %d codes",
			    HB_MAX_DNSBL_CODES);
			return;
		}
		if (hb_dnsbl_codes(one, &r) < 0) {
			hb_conf_error(l, "'%.64s' is not understood: codes "
			    "are such as 127.0.0.2 or 127.0.0.2-11, with "
			    "commas between", text);
			return;
		}
		*(struct hb_dnsbl_range *)hb_conf_grow(l->arena, &list, &of->n,
		    sizeof(r)) = r;
		of->codes = list;
	} while (rest.n > 0);
}

static void
add_zone(struct hb_conf_line *l, struct hb_dnsbls *v, const char *word,
    const struct hb_dnsbl *line)
{
	char *zone = hb_conf_domain(l, word);
	struct hb_dnsbl *z;
	void *list = v->v;

	if (zone == NULL)
		return;
	if (v->n == HB_MAX_DNSBL_ZONES) {
		hb_conf_error(l, "more than %d zones", HB_MAX_DNSBL_ZONES);
		return;
	}
	z = hb_conf_grow(l->arena, &list, &v->n, sizeof(*z));
	v->v = list;
	*z = *line;
	z->zone = zone;
}

static void
parse_dnsbls(struct hb_conf_line *l, void *field)
{
	TYPE(dnsbls, field);
	struct hb_dnsbl line = { 0 };
	size_t zones = 0;

	for (size_t i = 0; i < l->n; i++) {
		const char *s = hb_conf_option(l->v[i], "codes");

		if (s != NULL)
			read_codes(l, s, &line);
	}
	for (size_t i = 0; i < l->n; i++)
		if (hb_conf_option(l->v[i], "codes") == NULL) {
			add_zone(l, v, l->v[i], &line);
			zones++;
		}
	if (zones == 0)
		hb_conf_error(l, "'%s' needs a zone", l->row->word);
}

static void
dump_dnsbls(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(dnsbls, field);

	for (size_t i = 0; i < v->n; i++) {
		const struct hb_dnsbl *z = &v->v[i];

		hb_buf_addf(out, "%s %s", word, z->zone);
		for (size_t k = 0; k < z->n; k++) {
			hb_buf_adds(out, k == 0 ? " codes=" : ",");
			hb_dnsbl_put_codes(&z->codes[k], out);
		}
		hb_buf_adds(out, "\n");
	}
}

OPS(dnsbls, parse_dnsbls, dump_dnsbls, "ZONE ... [codes=ADDR[-ADDR],...]")

/* --- greylist off|on [delay=T] --- */

static const struct hb_conf_choice switches = {
	(const char *const[]){ "off", "on" }, 2
};

static void
parse_greylist(struct hb_conf_line *l, void *field)
{
	TYPE(greylist, field);

	v->delay_ms = 60000;
	v->on = hb_conf_choose(l, &switches, l->v[0]) == 1;
	for (size_t i = 1; i < l->n; i++) {
		const char *s = hb_conf_option(l->v[i], "delay");

		if (s == NULL)
			hb_conf_bad_option(l, l->v[i]);
		else if (hb_duration_parse(hb_span_str(s), &v->delay_ms) < 0 ||
		    v->delay_ms < 1000 || v->delay_ms > 86400000)
			hb_conf_error(l, "'%.64s' is not a time from 1s to 1d",
			    s);
	}
}

static void
dump_greylist(const char *word, const void *field, struct hb_buf *out)
{
	CTYPE(greylist, field);
	char delay[24];

	hb_duration_format(v->delay_ms, delay);
	hb_buf_addf(out, "%s %s delay=%s\n", word, v->on ? "on" : "off",
	    delay);
}

OPS(greylist, parse_greylist, dump_greylist, "off|on [delay=TIME]")
