/* Reading the configuration.  Floor 3. */
#include "config.h"

#include "common/daemon/conf_load.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/limits.h"

static int
read_all(int fd, struct hb_buf *content)
{
	for (;;) {
		unsigned char *room;
		ssize_t r;

		if (hb_buf_reserve(content, 65536, &room) != 0)
			return -EFBIG;
		r = read(fd, room, 65536);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return r == 0 ? 0 : -errno;
		hb_buf_added(content, (size_t)r);
		if (content->n > HB_MAX_LOADED_FILE)
			return -EFBIG;
	}
}

int
pd_read_fd(int fd, struct hb_buf *content)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	return read_all(fd, content);
}

int
pd_read_file(const char *path, struct hb_buf *content)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;

	if (fd < 0)
		return -errno;
	r = pd_read_fd(fd, content);
	close(fd);
	return r;
}

static int
read_for_parser(void *ctx, const char *path, struct hb_buf *content)
{
	(void)ctx;
	return pd_read_file(path, content);
}

/* The name without asking anyone; DST holds at least one byte. */
static void
short_name(char *dst, size_t size)
{
	if (gethostname(dst, size) != 0)
		dst[0] = '\0';
	dst[size - 1] = '\0';
}

/* As `hostname -f`: the canonical name that the resolver gives for ours. */
static char *
full_name(const char *name)
{
	struct addrinfo hints = { .ai_flags = AI_CANONNAME,
		.ai_socktype = SOCK_STREAM }, *ai = NULL;
	char *full = NULL;

	if (getaddrinfo(name, NULL, &hints, &ai) == 0 && ai != NULL &&
	    ai->ai_canonname != NULL && strchr(ai->ai_canonname, '.') != NULL)
		full = hb_strdup(ai->ai_canonname);
	if (ai != NULL)
		freeaddrinfo(ai);
	return full;
}

struct place {
	const char *file, *dir;
	bool look;
};

static struct hb_conf *
parse(const struct place *at, struct hb_span text, const char *hostname,
    struct hb_conf_report *report)
{
	struct hb_conf_source src = { .file = at->file, .dir = at->dir,
		.text = text,
		.read = read_for_parser,
		.default_hostname = hostname[0] != '\0' ? hostname : NULL,
		.look = at->look };

	return hb_conf_parse(&src, report);
}

/* Only when our own name is needed and has no domain is the resolver asked;
 * then everything is read again with the answer. */
static struct hb_conf *
parse_with_name(const struct place *at, struct hb_span text,
    struct hb_conf_report *report)
{
	char name[HB_MAX_DOMAIN + 1];
	struct hb_conf *conf;
	char *full;

	short_name(name, sizeof(name));
	conf = parse(at, text, name, report);
	if (conf->hostname == NULL || strcmp(conf->hostname, name) != 0 ||
	    strchr(name, '.') != NULL)
		return conf;
	full = full_name(name);
	if (full == NULL)
		return conf;
	hb_conf_free(&conf);
	hb_buf_clear(&report->text);
	report->errors = report->warnings = 0;
	conf = parse(at, text, full, report);
	free(full);
	return conf;
}

char *
pd_folder_of(const char *path)
{
	char *full = realpath(path, NULL), *slash;

	if (full == NULL)
		return hb_strdup("/");
	slash = strrchr(full, '/');
	slash[slash == full ? 1 : 0] = '\0';
	return full;
}

struct hb_conf *
pd_conf_load(const char *file, bool look, struct hb_conf_report *report)
{
	struct hb_buf text = HB_BUF_INIT(0);
	char *dir = pd_folder_of(file);
	int r = pd_read_file(file, &text);
	struct hb_conf *conf;

	if (r < 0)
		hb_buf_clear(&text);
	conf = parse_with_name(&(struct place){ file, dir, look },
	    hb_buf_span(&text), report);
	if (r < 0) {
		hb_buf_clear(&report->text);
		hb_buf_addf(&report->text, "%s: cannot read it: %s\n", file,
		    strerror(-r));
		report->errors = 1;
	}
	hb_buf_free(&text);
	free(dir);
	return conf;
}

static bool
may_reload(struct hb_span word)
{
	static const struct {
		const char *word;
		unsigned flags;
	} words[] = {
#define CONF_WORD(word, type, field, def, min, max, flags, text)               \
	{ (word), (flags) },
#include "common/proto/conf.def"
#undef CONF_WORD
	};

	for (size_t i = 0; i < HB_ARRAY_LEN(words); i++)
		if (hb_span_eq(word, hb_span_str(words[i].word)))
			return (words[i].flags & HB_CW_RELOAD) != 0;
	return true;
}

/* The lines of TEXT (of hb_conf_dump) whose word may, or may not, change. */
static void
take_lines(struct hb_span text, bool reloadable, struct hb_buf *out)
{
	while (text.n > 0) {
		struct hb_span line = hb_span_cut(&text, '\n'), rest = line;

		if (may_reload(hb_span_word(&rest)) != reloadable)
			continue;
		hb_buf_add(out, line);
		hb_buf_adds(out, "\n");
	}
}

/* Names of the words whose lines in A are not in B. */
static void
name_differences(struct hb_span a, struct hb_span b, struct hb_buf *out)
{
	while (a.n > 0) {
		struct hb_span line = hb_span_cut(&a, '\n'), rest = b,
		    word = line;
		bool found = false;

		while (rest.n > 0 && !found)
			found = hb_span_eq(hb_span_cut(&rest, '\n'), line);
		if (found)
			continue;
		hb_buf_adds(out, out->n > 0 ? " " : "");
		hb_buf_add(out, hb_span_word(&word));
	}
}

/* CONF's reloadable words and OLD's other ones, read as one text. */
static struct hb_conf *
merge(const struct hb_conf *conf, struct hb_span fixed, struct hb_span after)
{
	struct hb_buf text = HB_BUF_INIT(0);
	struct hb_conf_source src = { .file = "(reload)", .dir = "/" };
	struct hb_conf_report report = { .text = HB_BUF_INIT(0) };
	struct hb_conf *kept;

	hb_buf_add(&text, fixed);
	take_lines(after, true, &text);
	src.text = hb_buf_span(&text);
	kept = hb_conf_parse(&src, &report);
	HB_ASSERT(report.errors == 0);
	kept->log.given = conf->log.given;
	kept->unbuilt.n = conf->unbuilt.n;
	kept->unbuilt.v = hb_arena_alloc(kept->arena,
	    (conf->unbuilt.n + 1) * sizeof(char *));
	for (size_t i = 0; i < conf->unbuilt.n; i++)
		kept->unbuilt.v[i] = hb_arena_cstr(kept->arena,
		    hb_span_str(conf->unbuilt.v[i]));
	hb_buf_free(&text);
	hb_buf_free(&report.text);
	return kept;
}

struct hb_conf *
pd_conf_keep_fixed(const struct hb_conf *old, struct hb_conf *conf,
    struct hb_buf *changed)
{
	struct hb_buf before = HB_BUF_INIT(0), after = HB_BUF_INIT(0),
	    fixed = HB_BUF_INIT(0), wanted = HB_BUF_INIT(0);
	struct hb_conf *kept = conf;

	hb_conf_dump(old, &before);
	hb_conf_dump(conf, &after);
	take_lines(hb_buf_span(&before), false, &fixed);
	take_lines(hb_buf_span(&after), false, &wanted);
	name_differences(hb_buf_span(&wanted), hb_buf_span(&fixed), changed);
	if (changed->n > 0) {
		kept = merge(conf, hb_buf_span(&fixed), hb_buf_span(&after));
		hb_conf_free(&conf);
	}
	hb_buf_free(&before);
	hb_buf_free(&after);
	hb_buf_free(&fixed);
	hb_buf_free(&wanted);
	return kept;
}
