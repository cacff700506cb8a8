/*
 * The key agent's main.  Floor 4.  Holds the private keys of the
 * tls-certificates; signs for smtpd and delivery, never exports.
 *
 * The parent has no cryptography: at its first start it runs `hauberk-keyagent
 * -s NAME', which prints a new self-signed certificate and its key, and keeps
 * nothing.  With `-c' it reports the faults of the files that it is given.
 */
#include "config.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/io/certcheck.h"
#include "common/io/keysign.h"
#include "common/io/file.h"
#include "common/io/rolemain.h"
#include "common/io/tls.h"

#define IPC_TAKES(from, to) ((to) != HB_ANY && ((to) & HB_TO(KEYAGENT)) != 0)
#define IPC_CTX struct hb_keyset
#define IPC_ON(name) keyagent_on_##name
#include "common/io/handlers.h"

enum { FORMER_MS = 10 * 60 * 1000 }; /* no handshake lasts that long */

void
keyagent_on_sign(struct hb_keyset *keys, struct hb_peer *p,
    const struct ipc_sign *m)
{
	hb_keyset_answer(keys, p, m);
}

/* Key I belongs to tls-certificate I. */
static struct hb_keyset *
load_keys(const struct hb_role_env *env, struct hb_buf *err)
{
	struct hb_keyset *keys = hb_keyset_new();
	struct hb_span pem, chain;

	for (unsigned i = 0; hb_role_file(env, HB_FILE_KEY, i, &pem); i++) {
		int r = hb_keyset_add(keys, pem);

		if (r < 0)
			hb_buf_addf(err, "key of tls-certificate %u: %s",
			    i + 1, hb_strerror(r));
		else if (!hb_role_file(env, HB_FILE_CERT, i, &chain) ||
		    !hb_keyset_fits(keys, i, chain))
			hb_buf_addf(err, "key of tls-certificate %u: it is "
			    "not the key of its first certificate", i + 1);
		else {
			hb_keyset_know(keys, i, chain);
			continue;
		}
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

static void
forget_former(void *ctx)
{
	const struct hb_role_env *env = ctx;

	hb_keyset_forget(env->ctx);
}

/* smtpd takes the new certificates behind us, and handshakes with those before
 * have begun. */
static int
on_reload(
    struct hb_role_env *env, const struct hb_conf *old, struct hb_buf *err)
{
	static struct hb_timer *former;
	struct hb_keyset *keys = load_keys(env, err), *before = env->ctx;

	if (keys == NULL)
		return HB_E_SYNTAX;
	env->ctx = keys;
	hb_keyset_follow(keys, &before);
	if (former == NULL)
		former = hb_timer_new(env->loop, forget_former, env);
	hb_timer_set(former, FORMER_MS);
	return 0;
}

static const struct hb_role_spec spec = {
	.role = HB_ROLE_KEYAGENT,
	.on = keyagent_on_frame,
	.setup = setup,
	.on_reload = on_reload,
};

static int
print_certificate(const char *name)
{
	struct hb_buf cert = HB_BUF_INIT(0), key = HB_BUF_INIT(0);
	int r = hb_tls_self_signed(name, hb_now_ms(), &cert, &key);

	if (r == 0 && (fwrite(cert.p, 1, cert.n, stdout) != cert.n ||
			  fwrite(key.p, 1, key.n, stdout) != key.n ||
			  fflush(stdout) != 0))
		r = HB_E_IO;
	hb_buf_free(&cert);
	hb_buf_wipe(&key);
	if (r == 0)
		return EX_OK;
	fprintf(stderr, "hauberk-keyagent: certificate for %s: %s\n", name,
	    hb_strerror(r));
	return EX_SOFTWARE;
}

/* What `hauberkd -n', start and reload ask: the files come in one piece on
 * standard input, NUL between chain and key; the findings go out. */
static int
check_files(const char *what)
{
	struct hb_buf in = HB_BUF_INIT(0), out = HB_BUF_INIT(0);
	struct hb_span rest, first;
	size_t n;

	(void)prctl(PR_SET_DUMPABLE, 0);
	if (hb_read_all(STDIN_FILENO, 2 * HB_MAX_LOADED_FILE, &in) < 0)
		return EX_IOERR;
	rest = hb_buf_span(&in);
	first = hb_span_cut(&rest, '\0');
	if (strcmp(what, "pair") == 0)
		hb_cert_check_pair(first, rest, hb_now_ms(), &out);
	else
		hb_cert_check_roots(hb_buf_span(&in), hb_now_ms(), &out);
	n = fwrite(out.p + out.off, 1, out.n, stdout);
	hb_buf_wipe(&in);
	return n == out.n && fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}

int
main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "-s") == 0)
		return print_certificate(argv[2]);
	if (argc == 3 && strcmp(argv[1], "-c") == 0)
		return check_files(argv[2]);
	return hb_role_run(&spec, argc, argv);
}
