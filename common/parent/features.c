/* Messages about features that are off or not in this build.  Floor 4. */
#include "config.h"

#include "common/parent/parent.h"
#include "common/io/ctlreply.h"

struct ctl_word {
	const char *word;
	const char *def;
	unsigned flags;
};
static const struct ctl_word words[] = {
#define CONF_WORD(word, type, field, def, min, max, flags, text)               \
	{ (word), (def), (flags) },
#include "common/proto/conf.def"
#undef CONF_WORD
};

/* On by default, and not in this build. */
static bool
is_off(const struct ctl_word *w)
{
	return (w->flags & HB_CW_UNBUILT) != 0 && w->def != NULL;
}

/* Protection that is on by default, where the operator has turned it off. */
enum { MAX_LOWERED = 2 };
static size_t
turned_off(const struct hb_conf *conf, const char *out[MAX_LOWERED])
{
	size_t n = 0;

	if (!conf->mta_sts)
		out[n++] = "mta-sts";
	if (!conf->dane)
		out[n++] = "dane";
	return n;
}

void
pd_say_features(const struct hb_conf *conf)
{
	const char *lowered[MAX_LOWERED];
	size_t n = turned_off(conf, lowered);

	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++)
		if (is_off(&words[i]))
			HB_LOG(HB_LOG_INFO, HB_EV_CONFIG,
			    hb_kv_str(HB_K_WORD, words[i].word),
			    hb_kv_str(HB_K_STATE, "off"),
			    hb_kv_str(HB_K_TEXT, "not in this build"));
	for (size_t i = 0; i < n; i++)
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG,
		    hb_kv_str(HB_K_WORD, lowered[i]),
		    hb_kv_str(HB_K_STATE, "off"));
	if (conf->lab)
		HB_LOG(HB_LOG_WARN, HB_EV_CONFIG, hb_kv_str(HB_K_WORD, "lab"),
		    hb_kv_str(HB_K_STATE, "on"),
		    hb_kv_str(HB_K_TEXT, "NOT FOR REAL MAIL: ports, policy "
			"hosts and the clock may be replaced"));
}

void
pd_answer_features(const struct hb_ctl *c, const struct hb_conf *conf)
{
	const char *lowered[MAX_LOWERED];
	size_t n = turned_off(conf, lowered);

	hb_ctl_array(c, "unbuilt");
	for (size_t i = 0; i < conf->unbuilt.n; i++)
		hb_ctl_text(c, NULL, conf->unbuilt.v[i]);
	hb_ctl_close(c);
	hb_ctl_array(c, "off");
	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++)
		if (is_off(&words[i]))
			hb_ctl_text(c, NULL, words[i].word);
	for (size_t i = 0; i < n; i++)
		hb_ctl_text(c, NULL, lowered[i]);
	hb_ctl_close(c);
	hb_ctl_bool(c, "lab", conf->lab);
}
