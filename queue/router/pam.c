/*
 * hauberk-pam SERVICE: asks PAM about one login, and ends.  Floor 4.  The parent
 * starts it for the router, with all rights of its own, as modules of PAM need
 * them; descriptor 3 is the channel, and the only input.  What hangs is killed
 * by the parent (common/parent/helper.c).
 */
#include "config.h"

#include <security/pam_appl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/mem.h"
#include "queue/router/rules.h"
#include "queue/router/workrec.h"

enum {
	CHANNEL = 3,
	LOGIN_MAX = 256,
	PROMPTS_MAX = 4, /* modules that each ask for the password again */
	CPU_S = 10,
	FILE_MAX = 1 << 20
};

struct question {
	char user[LOGIN_MAX + 1], password[1025], client[65];
	unsigned prompts;
	bool more; /* a module asked for more than the password */
};

/* For more than a password is no room in AUTH. */
static bool
answer_prompt(struct question *q, const struct pam_message *m,
    struct pam_response *r)
{
	if (m->msg_style == PAM_TEXT_INFO || m->msg_style == PAM_ERROR_MSG)
		return true;
	if (m->msg_style != PAM_PROMPT_ECHO_OFF ||
	    ++q->prompts > PROMPTS_MAX) {
		q->more = true;
		return false;
	}
	r->resp = hb_span_dup(hb_span_str(q->password));
	return true;
}

/* The response is the module's, which frees it with free(). */
static int
converse(int n, const struct pam_message **m, struct pam_response **out,
    void *ctx)
{
	struct pam_response *r;
	bool good = true;

	if (n <= 0 || n > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	r = hb_calloc((size_t)n, sizeof(*r));
	for (int i = 0; i < n && good; i++)
		good = answer_prompt(ctx, m[i], &r[i]);
	if (good) {
		*out = r;
		return PAM_SUCCESS;
	}
	for (int i = 0; i < n; i++)
		if (r[i].resp != NULL) {
			hb_wipe(r[i].resp, strlen(r[i].resp));
			free(r[i].resp);
		}
	free(r);
	return PAM_CONV_ERR;
}

/* The router makes all refusals take as long. */
static void
no_delay(int status, unsigned us, void *ctx)
{
}

/* What the user did, or what his account is; all else is the operator's. */
static bool
is_refusal(int r)
{
	static const int refusals[] = { PAM_AUTH_ERR, PAM_USER_UNKNOWN,
		PAM_MAXTRIES, PAM_PERM_DENIED, PAM_ACCT_EXPIRED,
		PAM_NEW_AUTHTOK_REQD, PAM_CRED_EXPIRED,
		PAM_AUTHTOK_EXPIRED };

	for (size_t i = 0; i < HB_ARRAY_LEN(refusals); i++)
		if (r == refusals[i])
			return true;
	return false;
}

/* The name that PAM's modules made of the login. */
static void
take_login(pam_handle_t *pam, struct rt_work_done *done)
{
	const void *name = NULL;
	struct hb_span login;

	if (pam_get_item(pam, PAM_USER, &name) != PAM_SUCCESS || name == NULL)
		return;
	login = hb_span_str(name);
	if (login.n > 0 && login.n <= LOGIN_MAX)
		done->login = login;
}

static int
ask_pam(pam_handle_t *pam, const struct question *q)
{
	int r;

	/* this item is a function */
	(void)pam_set_item(pam, PAM_FAIL_DELAY,
	    (const void *)(uintptr_t)no_delay);
	(void)pam_set_item(pam, PAM_TTY, "hauberk");
	(void)pam_set_item(pam, PAM_RHOST, q->client);
	r = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (r == PAM_SUCCESS)
		r = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	return r;
}

static void
judge(pam_handle_t *pam, struct question *q, struct rt_work_done *done)
{
	int r = ask_pam(pam, q);

	if (r == PAM_SUCCESS) {
		done->result = RT_FOUND;
		take_login(pam, done);
	} else if (q->more) {
		done->result = RT_NOTFOUND;
		done->why = HB_SPAN("its modules ask for more than a password, "
		    "which SMTP has no way to give");
	} else if (is_refusal(r)) {
		done->result = RT_NOTFOUND;
	} else {
		done->why = hb_span_head(hb_span_str(pam_strerror(pam, r)), 200);
	}
}

/* The modules write to the log by themselves what they think of it. */
static int
serve(const char *service, struct question *q)
{
	struct pam_conv conv = { converse, q };
	struct rt_work_done done = { .result = RT_TEMP };
	struct hb_buf out = HB_BUF_INIT(RT_WORK_MAX);
	pam_handle_t *pam = NULL;
	int r = pam_start(service, q->user, &conv, &pam);

	if (r == PAM_SUCCESS)
		judge(pam, q, &done);
	else
		done.why = HB_SPAN("PAM cannot be started for the service");
	r = rt_work_done_put(&done, &out) < 0 ||
	    write(CHANNEL, out.p + out.off, out.n) < 0 ? EX_IOERR : EX_OK;
	hb_wipe(q, sizeof(*q));
	if (pam != NULL)
		(void)pam_end(pam, PAM_SUCCESS); /* modules have files to remove */
	return r;
}

/* False: there is no question that a login could be. */
static bool
read_question(struct question *q)
{
	static unsigned char buf[RT_WORK_MAX];
	struct rt_work w;
	ssize_t n = read(CHANNEL, buf, sizeof(buf));
	bool good = n > 0 &&
	    hb_tlv_decode(&rt_work_record, hb_span(buf, (size_t)n), &w) == 0 &&
	    w.name.n > 0 && hb_span_copy(w.name, q->user, sizeof(q->user)) == 0 &&
	    hb_span_copy(w.password, q->password, sizeof(q->password)) == 0 &&
	    hb_span_copy(w.client, q->client, sizeof(q->client)) == 0;

	hb_wipe(buf, sizeof(buf));
	return good;
}

static void
bound(int what, rlim_t most)
{
	struct rlimit limit = { most, most };

	(void)setrlimit(what, &limit);
}

int
main(int argc, char **argv)
{
	static struct question q;

	if (argc != 2)
		return EX_USAGE;
	/* nobody reads a password in a core or by ptrace */
	bound(RLIMIT_CORE, 0);
	bound(RLIMIT_CPU, CPU_S);
	bound(RLIMIT_FSIZE, FILE_MAX);
	(void)prctl(PR_SET_DUMPABLE, 0);
	return read_question(&q) ? serve(argv[1], &q) : EX_PROTOCOL;
}
