/*
 * The key agent's main.  Floor 4.  Holds the private keys of the
 * tls-certificates; signs for smtpd and delivery, never exports.
 */
#include "config.h"

#include <sys/prctl.h>

#include "common/base/err.h"
#include "common/io/keysign.h"
#include "common/io/rolemain.h"

static void
on_sign(void *ctx, struct hb_peer *p, const void *msg, int fd)
{
	const struct hb_role_env *env = ctx;

	(void)fd;
	hb_keyset_answer(env->ctx, p, msg);
}

/* Key I belongs to tls-certificate I. */
static struct hb_keyset *
load_keys(const struct hb_role_env *env, struct hb_buf *err)
{
	struct hb_keyset *keys = hb_keyset_new();
	struct hb_span pem;

	for (unsigned i = 0; hb_role_file(env, HB_FILE_KEY, i, &pem); i++) {
		int r = hb_keyset_add(keys, pem);

		if (r == 0)
			continue;
		hb_buf_addf(err, "key of tls-certificate %u: %s", i + 1,
		    hb_strerror(r));
		hb_keyset_free(&keys);
		break;
	}
	return keys;
}

static int
setup(struct hb_role_env *env, struct hb_buf *err)
{
	struct hb_keyset *keys;

	/* No core file and no tracer sees the keys. */
	(void)prctl(PR_SET_DUMPABLE, 0);
	keys = load_keys(env, err);
	if (keys == NULL)
		return HB_E_SYNTAX;
	env->ctx = keys;
	return 0;
}

static int
on_reload(
    struct hb_role_env *env, const struct hb_conf *old, struct hb_buf *err)
{
	struct hb_keyset *keys = load_keys(env, err), *before = env->ctx;

	(void)old;
	if (keys == NULL)
		return HB_E_SYNTAX;
	env->ctx = keys;
	hb_keyset_free(&before);
	return 0;
}

static const hb_peer_handler handlers[HB_IPC_COUNT] = {
	[HB_IPC_SIGN] = on_sign,
};

static const struct hb_role_spec spec = {
	.role = HB_ROLE_KEYAGENT,
	.on = handlers,
	.setup = setup,
	.on_reload = on_reload,
};

int
main(int argc, char **argv)
{
	return hb_role_run(&spec, argc, argv);
}
