/* Checks of what the configuration names.  Floor 4. */
#include "config.h"

#include "common/parent/conf_check.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"
#include "common/base/limits.h"
#include "common/base/timefmt.h"
#include "common/parent/conf_check_run.h"
#include "common/parent/parent.h"
#include "common/io/loop.h"
#include "common/io/file.h"
#include "common/io/sandbox.h"
#include "common/proto/template.h"

struct check {
	const struct pd_check *how;
	const struct hb_conf *conf;
	struct hb_conf_report *report;
};

#define MISTAKE(c, at, ...)                                                    \
	hb_conf_report_at((c)->report, at, false, __VA_ARGS__)
#define WARN(c, at, ...)                                                       \
	hb_conf_report_at((c)->report, at, true, __VA_ARGS__)

/* Who may change a file that says where mail goes may read all of it. */
static void
look_at_writers(struct check *c, const struct hb_place *at, const char *path)
{
	char text[2 * PATH_MAX + 64];

	if (pd_check_writers(path, text, sizeof(text)))
		WARN(c, at, "%s", text);
}

/* --- files --- */

static void
add_found(struct check *c, const struct hb_place *at, const char *path,
    struct hb_span found)
{
	while (found.n > 0) {
		struct hb_span text = hb_span_cut(&found, '\n');
		struct hb_span kind = hb_span_word(&text);
		struct hb_place where = *at;
		uint64_t line;

		if (hb_span_u64(hb_span_word(&text), UINT32_MAX, &line) < 0)
			continue;
		text = hb_span_trim(text);
		if (line > 0) {
			where.file = path;
			where.line = (unsigned)line;
		}
		hb_conf_report_at(c->report, &where,
		    !hb_span_eq(kind, HB_SPAN("E")), "%.*s", HB_SPAN_ARG(text));
	}
}

static void
look_at_map(struct check *c, const struct hb_place *at)
{
	struct hb_buf found = HB_BUF_INIT(0);
	char path[PATH_MAX];
	struct stat st;

	if (pd_check_map(c->how, c->conf, HB_ROLE_ROUTER, at, &found) != 0)
		MISTAKE(c, at, "%s could not be looked at as account %s",
		    at->path, hb_conf_account(c->conf, HB_ROLE_ROUTER));
	else
		add_found(c, at, at->path, hb_buf_span(&found));
	hb_buf_free(&found);
	look_at_writers(c, at, at->path);
	snprintf(path, sizeof(path), "%s.db", at->path);
	if (at->map != HB_MAP_TEXT && access(at->path, F_OK) != 0)
		look_at_writers(c, at, path);
	if (at->kind == HB_PLACE_LOGINS && stat(at->path, &st) == 0 &&
	    (st.st_mode & S_IROTH) != 0)
		WARN(c, at, "the passwords in %s can be read by everybody: "
		    "chmod o-r", at->path);
}

static void
look_at_text(struct check *c, const struct hb_place *at)
{
	look_at_writers(c, at, at->path);
}

static bool
read_for(struct check *c, const struct hb_place *at, const char *path,
    struct hb_buf *content)
{
	int r = hb_read_file(path, HB_MAX_LOADED_FILE, content);

	if (r < 0)
		MISTAKE(c, at, "cannot read %s: %s", path, hb_file_error(r));
	else if (hb_buf_span(content).n == 0)
		MISTAKE(c, at, "%s is empty", path);
	return r == 0 && hb_buf_span(content).n > 0;
}

static void
look_at_pem(struct check *c, const struct hb_place *at, const char *what,
    struct hb_span pem)
{
	struct hb_buf found = HB_BUF_INIT(0);

	if (pd_check_pem(c->how, c->conf, what, pem, &found) != 0)
		WARN(c, at, "%s could not be looked at", at->path);
	else
		add_found(c, at, at->path, hb_buf_span(&found));
	hb_buf_free(&found);
}

static void
look_at_cert(struct check *c, const struct hb_place *at)
{
	struct hb_buf pem = HB_BUF_INIT(0), key = HB_BUF_INIT(0);
	bool whole = read_for(c, at, at->path, &pem);
	struct stat st;

	whole = read_for(c, at, at->more, &key) && whole;
	if (stat(at->more, &st) == 0 && (st.st_mode & S_IROTH) != 0)
		WARN(c, at, "the private key %s can be read by everybody: "
		    "chmod o-r", at->more);
	if (whole) {
		hb_buf_add(&pem, hb_span("", 1));
		hb_buf_add(&pem, hb_buf_span(&key));
		look_at_pem(c, at, "pair", hb_buf_span(&pem));
	}
	hb_buf_wipe(&pem);
	hb_buf_wipe(&key);
}

static void
look_at_roots(struct check *c, const struct hb_place *at)
{
	struct hb_buf pem = HB_BUF_INIT(0);

	if (read_for(c, at, at->path, &pem)) {
		look_at_writers(c, at, at->path);
		look_at_pem(c, at, "roots", hb_buf_span(&pem));
	}
	hb_buf_free(&pem);
}

static void
look_at_hosts(struct check *c, const struct hb_place *at)
{
	struct hb_buf text = HB_BUF_INIT(0);
	int r = hb_read_file(at->path, HB_MAX_LOADED_FILE, &text);

	if (r < 0)
		MISTAKE(c, at, "cannot read %s: %s", at->path,
		    hb_file_error(r));
	hb_buf_free(&text);
	look_at_writers(c, at, at->path);
}

const char *
pd_ca_bundle(void)
{
	static const char *const bundles[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/cert.pem",
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(bundles); i++)
		if (access(bundles[i], R_OK) == 0)
			return bundles[i];
	return NULL;
}

/* Used where no ca-file is given: one that is spoilt would keep delivery from
 * starting. */
static void
look_at_bundle(struct check *c)
{
	struct hb_place at = { .kind = HB_PLACE_CA, .word = "ca-file",
		.line = 1, .path = pd_ca_bundle() };

	at.file = at.path;
	if (at.path != NULL && c->conf->ca_files.n == 0)
		look_at_roots(c, &at);
}

static void
look_at_log(struct check *c, const struct hb_place *at)
{
	char folder[PATH_MAX], *slash;
	struct stat st;

	if (stat(at->path, &st) == 0) {
		if (S_ISDIR(st.st_mode) || S_ISFIFO(st.st_mode) ||
		    S_ISSOCK(st.st_mode))
			MISTAKE(c, at, "%s is no file to write a log to",
			    at->path);
		else if (access(at->path, W_OK) != 0)
			MISTAKE(c, at, "cannot write %s: %s", at->path,
			    strerror(errno));
		return;
	}
	snprintf(folder, sizeof(folder), "%s", at->path);
	slash = strrchr(folder, '/');
	if (slash != NULL)
		slash[slash == folder ? 1 : 0] = '\0';
	if (stat(folder, &st) != 0)
		MISTAKE(c, at, "the folder %s of the log: %s", folder,
		    strerror(errno));
	else if (!S_ISDIR(st.st_mode) || access(folder, W_OK) != 0)
		MISTAKE(c, at, "no file can be made in %s", folder);
}

/* --- deliveries --- */

/* The folders in front of the first % letter: without them no delivery can
 * succeed. */
static void
look_at_mailbox(struct check *c, const struct hb_place *at)
{
	struct hb_span t = hb_span_str(at->path);
	char folder[PATH_MAX], *slash;
	struct stat st;

	t = hb_span_head(t, hb_span_find(t, '%'));
	if (hb_template_at_home(hb_span_str(at->path)) ||
	    hb_span_copy(t, folder, sizeof(folder)) < 0)
		return;
	slash = strrchr(folder, '/');
	if (slash == NULL || slash == folder)
		return;
	*slash = '\0';
	if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
		WARN(c, at, "there is no folder %s: mail waits until it is "
		    "there", folder);
}

static void
look_at_command(struct check *c, const struct hb_place *at)
{
	struct hb_span rest = hb_span_str(at->path),
		       word = hb_span_word(&rest);
	char path[PATH_MAX];
	struct stat st;

	if (hb_template_at_home(word) || hb_span_find(word, '%') < word.n ||
	    hb_span_copy(word, path, sizeof(path)) < 0)
		return;
	if (stat(path, &st) != 0)
		MISTAKE(c, at, "the command %s: %s", path, strerror(errno));
	else if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0)
		MISTAKE(c, at, "the command %s is not a program that can be "
		    "run", path);
}

static void
look_at_socket(struct check *c, const struct hb_place *at)
{
	struct stat st;

	if (stat(at->path, &st) != 0)
		WARN(c, at, "nobody listens at %s now: %s", at->path,
		    strerror(errno));
	else if (!S_ISSOCK(st.st_mode))
		MISTAKE(c, at, "%s is not a socket", at->path);
}

/* libpam takes the rules for `other` where there is no file. */
static void
look_at_pam(struct check *c, const struct hb_place *at)
{
	static const char *const folders[] = { "/etc/pam.d", "/usr/lib/pam.d" };
	char path[PATH_MAX];
	bool there = access("/etc/pam.conf", F_OK) == 0 &&
	    access("/etc/pam.d", F_OK) != 0;

	for (size_t i = 0; i < HB_ARRAY_LEN(folders); i++) {
		snprintf(path, sizeof(path), "%s/%s", folders[i], at->path);
		there = there || access(path, F_OK) == 0;
	}
	if (!there)
		WARN(c, at, "there is no /etc/pam.d/%s: PAM's rules for "
		    "`other' decide who may log in", at->path);
	if (!c->how->privileged)
		WARN(c, at, "not started by root: PAM knows the passwords "
		    "that this account may check, with pam_unix its own alone");
}

static void
look_at_end(struct check *c, const struct hb_place *at)
{
	char day[HB_TIME_RFC3339_SIZE];

	if (at->ms > hb_now_ms())
		return;
	hb_time_rfc3339(at->ms - 1, day);
	WARN(c, at, "this word for %s ended with %.10s and counts no more",
	    at->path, day);
}

static void
look_at_nothing(struct check *c, const struct hb_place *at)
{
}

static void (*const looks[])(struct check *, const struct hb_place *) = {
	[HB_PLACE_LINE] = look_at_nothing,
	[HB_PLACE_TEXT] = look_at_text,
	[HB_PLACE_CERT] = look_at_cert,
	[HB_PLACE_CA] = look_at_roots,
	[HB_PLACE_ALIASES] = look_at_map,
	[HB_PLACE_USERS] = look_at_map,
	[HB_PLACE_SENDERS] = look_at_map,
	[HB_PLACE_ACCESS] = look_at_map,
	[HB_PLACE_LOGINS] = look_at_map,
	[HB_PLACE_PAM] = look_at_pam,
	[HB_PLACE_LOG] = look_at_log,
	[HB_PLACE_MAILBOX] = look_at_mailbox,
	[HB_PLACE_COMMAND] = look_at_command,
	[HB_PLACE_SOCKET] = look_at_socket,
	[HB_PLACE_ACCOUNT] = look_at_nothing, /* see look_at_accounts */
	[HB_PLACE_HOSTS] = look_at_hosts,
	[HB_PLACE_ROUTE] = look_at_nothing, /* see the parser */
	[HB_PLACE_UNTIL] = look_at_end,
};

/* --- root's mail --- */

static const struct hb_place *
aliases_line(const struct hb_conf *conf)
{
	const struct hb_place *at = hb_conf_line_of(conf, HB_SPAN("aliases"));

	for (size_t i = 0; at == NULL && i < conf->places.n; i++)
		if (conf->places.v[i].kind == HB_PLACE_ALIASES)
			at = &conf->places.v[i];
	return at != NULL || conf->places.n == 0 ? at : &conf->places.v[0];
}

/* Mail that nobody reads is what the system has to say of its own trouble. */
static void
look_at_root(struct check *c)
{
	const struct hb_place *at = aliases_line(c->conf);
	struct hb_buf found = HB_BUF_INIT(0);

	if (at == NULL || c->report->errors > 0)
		return;
	if (pd_check_root(c->how, c->conf, &found) == 0)
		add_found(c, at, at->file, hb_buf_span(&found));
	hb_buf_free(&found);
}

/* --- accounts --- */

static const struct hb_place *
account_line(const struct check *c, const char *role)
{
	for (size_t i = 0; i < c->conf->places.n; i++) {
		const struct hb_place *at = &c->conf->places.v[i];

		if (at->kind == HB_PLACE_ACCOUNT &&
		    strcmp(at->more, role) == 0)
			return at;
	}
	return NULL;
}

static void
miss(struct check *c, const char *role, const char *what, const char *name,
    const char *remedy)
{
	const struct hb_place *at = account_line(c, role);
	struct hb_buf *text = &c->report->text;

	if (at != NULL) {
		MISTAKE(c, at, "%s %s is missing; make it with: %s %s", what,
		    name, remedy, name);
		return;
	}
	c->report->errors++;
	hb_buf_addf(text, "%s %s of %s is missing; make it with: %s %s\n", what,
	    name, role, remedy, name);
}

/* True: all are there. */
static bool
look_at_accounts(struct check *c)
{
	static const char add_user[] = "useradd --system --user-group "
	    "--no-create-home --home-dir /nonexistent "
	    "--shell /usr/sbin/nologin";
	const char *group = pd_submit_group(c->conf);
	unsigned before = c->report->errors;

	for (int i = HB_ROLE_PARENT + 1; i < HB_ROLE_COUNT; i++) {
		enum hb_role role = (enum hb_role)i;
		const char *name = hb_conf_account(c->conf, role);

		/* Without `user local' nobody's account is taken. */
		if (role == HB_ROLE_HELPER &&
		    strcmp(name, hb_role_info(role)->account) == 0)
			continue;
		if (getpwnam(name) == NULL)
			miss(c, hb_role_name(role), "account", name, add_user);
	}
	if (getgrnam(group) == NULL)
		miss(c, "submit", "group", group, "groupadd --system");
	return c->report->errors == before;
}

void
pd_conf_check(const struct pd_check *how, const struct hb_conf *conf,
    struct hb_conf_report *report)
{
	struct check c = { how, conf, report };

	/* the files are looked at as these accounts */
	if (how->privileged && !look_at_accounts(&c))
		return;
	look_at_bundle(&c);
	for (size_t i = 0; i < conf->places.n; i++)
		looks[conf->places.v[i].kind](&c, &conf->places.v[i]);
	look_at_root(&c);
}
