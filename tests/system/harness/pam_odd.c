/* A module of PAM with odd habits, for test_pam.py:
 *
 *	auth required FOLDER/pam_odd.so HABIT ...
 *
 * A password `right' is right.  HABIT: name=NAME the login is called NAME;
 * twice asks for the password twice; code asks for something that is shown;
 * endless asks again and again; wait, with a child that waits too; die. */
#include <security/pam_appl.h>
#include <security/pam_modules.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
ask(pam_handle_t *pam, int style, const char *text, char **said)
{
	struct pam_message m = { style, text };
	const struct pam_message *list = &m;
	struct pam_response *r = NULL;
	const void *conv;
	int code = pam_get_item(pam, PAM_CONV, &conv);
	const struct pam_conv *c = conv;

	if (code == PAM_SUCCESS)
		code = c->conv(1, &list, &r, c->appdata_ptr);
	*said = code == PAM_SUCCESS && r != NULL ? r->resp : NULL;
	free(r);
	return code;
}

static int
is_right(pam_handle_t *pam)
{
	char *said;
	int right;

	if (ask(pam, PAM_PROMPT_ECHO_OFF, "Password: ", &said) != PAM_SUCCESS)
		return 0;
	right = said != NULL && strcmp(said, "right") == 0;
	free(said);
	return right;
}

static int
act(pam_handle_t *pam, const char *habit)
{
	char *said = NULL;

	if (strncmp(habit, "name=", 5) == 0)
		return pam_set_item(pam, PAM_USER, habit + 5);
	if (strcmp(habit, "twice") == 0)
		return is_right(pam) ? PAM_SUCCESS : PAM_AUTH_ERR;
	if (strcmp(habit, "endless") == 0)
		while (is_right(pam))
			;
	if (strcmp(habit, "code") == 0)
		return ask(pam, PAM_PROMPT_ECHO_ON, "Code: ", &said);
	if (strcmp(habit, "wait") == 0) {
		if (fork() == 0)
			execlp("sleep", "sleep", "60", (char *)NULL);
		sleep(60);
	}
	if (strcmp(habit, "die") == 0)
		abort();
	return PAM_AUTH_ERR;
}

int
pam_sm_authenticate(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	int code = is_right(pam) ? PAM_SUCCESS : PAM_AUTH_ERR;

	for (int i = 0; i < argc && code == PAM_SUCCESS; i++)
		code = act(pam, argv[i]);
	return code;
}

int
pam_sm_setcred(pam_handle_t *pam, int flags, int argc, const char **argv)
{
	return PAM_SUCCESS;
}
