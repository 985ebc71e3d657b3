// SPDX-License-Identifier: Apache-2.0
#include "sys/loop.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	struct loop *loop;
	struct loop_timer *limit;
	struct loop_timer *timer;
	struct loop_fd *fd;
	struct loop_signal *signal;
	struct loop_child *child;
	struct loop_wakeup *wakeup;
	int calls;
	int status;
	short events;
};

static void too_long(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened within 10 s");
}

static int setup(void **state)
{
	static struct fixture f;

	f = (struct fixture){.status = -1};
	assert_int_equal(loop_create(&f.loop, NULL), LM_OK);
	f.limit = loop_timer_create(f.loop, too_long, NULL);
	loop_timer_start(f.limit, 10000, 0);
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	loop_timer_destroy(f->limit);
	loop_destroy(f->loop);
	return 0;
}

static void count_to_three(void *ctx)
{
	struct fixture *f = ctx;

	if (++f->calls == 3) {
		loop_timer_stop(f->timer);
		loop_stop(f->loop);
	}
}

static void a_timer_repeats_until_it_is_stopped(void **state)
{
	struct fixture *f = *state;

	f->timer = loop_timer_create(f->loop, count_to_three, f);
	assert_false(loop_timer_active(f->timer));
	loop_timer_start(f->timer, 1, 1);
	assert_true(loop_timer_active(f->timer));
	loop_run(f->loop);
	assert_int_equal(f->calls, 3);
	assert_false(loop_timer_active(f->timer));
	loop_timer_destroy(f->timer);
}

static void destroy_myself(void *ctx)
{
	struct fixture *f = ctx;

	loop_timer_destroy(f->timer);
	f->timer = NULL;
	f->calls++;
	loop_stop(f->loop);
}

static void a_watcher_may_destroy_itself_in_its_callback(void **state)
{
	struct fixture *f = *state;

	f->timer = loop_timer_create(f->loop, destroy_myself, f);
	loop_timer_start(f->timer, 0, 1);
	loop_run(f->loop);
	assert_int_equal(f->calls, 1);
	assert_null(f->timer);
}

static void fd_ready(void *ctx, short events)
{
	struct fixture *f = ctx;

	f->calls++;
	f->events = events;
	loop_fd_set(f->fd, 0);
	loop_stop(f->loop);
}

static void a_descriptor_tells_what_it_is_ready_for(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(loop_fd_create(f->loop, pair[0], fd_ready, f, &f->fd, NULL), LM_OK);
	loop_fd_set(f->fd, POLLIN | POLLOUT);
	loop_run(f->loop);
	assert_int_equal(f->events, POLLOUT);
	assert_int_equal(write(pair[1], "x", 1), 1);
	loop_fd_set(f->fd, POLLIN);
	loop_run(f->loop);
	assert_int_equal(f->events, POLLIN);
	assert_int_equal(f->calls, 2);
	loop_fd_destroy(f->fd);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void a_descriptor_in_error_is_told_as_what_was_asked_for(void **state)
{
	struct fixture *f = *state;
	int pipe_fds[2];

	// Writing into a pipe without a reader: POLLERR.
	assert_int_equal(pipe(pipe_fds), 0);
	(void)close(pipe_fds[0]);
	assert_int_equal(loop_fd_create(f->loop, pipe_fds[1], fd_ready, f, &f->fd, NULL), LM_OK);
	loop_fd_set(f->fd, POLLOUT);
	loop_run(f->loop);
	assert_int_equal(f->events, POLLOUT);
	loop_fd_destroy(f->fd);
	(void)close(pipe_fds[1]);
}

static void stop(void *ctx)
{
	struct fixture *f = ctx;

	loop_stop(f->loop);
}

/// Lets the loop see twice what is ready.
static void stop_soon(struct fixture *f)
{
	struct loop_timer *turn = loop_timer_create(f->loop, stop, f);

	for (int i = 0; i < 2; i++) {
		loop_timer_start(turn, 0, 0);
		loop_run(f->loop);
	}
	loop_timer_destroy(turn);
}

static void a_hang_up_is_both_sides_end(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(loop_fd_create(f->loop, pair[0], fd_ready, f, &f->fd, NULL), LM_OK);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	loop_fd_set(f->fd, POLLHUP);
	stop_soon(f);
	assert_int_equal(f->calls, 0);
	(void)close(pair[1]);
	loop_run(f->loop);
	assert_int_equal(f->events, POLLHUP);
	loop_fd_destroy(f->fd);
	(void)close(pair[0]);
}

static void a_hang_up_before_all_was_read_is_told_too(void **state)
{
	struct fixture *f = *state;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(write(pair[0], "x", 1), 1);
	(void)close(pair[1]); // the kernel has an error for the other side then
	assert_int_equal(loop_fd_create(f->loop, pair[0], fd_ready, f, &f->fd, NULL), LM_OK);
	loop_fd_set(f->fd, POLLHUP);
	loop_run(f->loop);
	assert_int_equal(f->events, POLLHUP);
	loop_fd_destroy(f->fd);
	(void)close(pair[0]);
}

static void no_descriptor_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct lm_err err;

	assert_int_equal(loop_fd_create(f->loop, -1, fd_ready, f, &f->fd, &err), LM_E_SYS);
	assert_null(f->fd);
}

static void count_and_stop(void *ctx)
{
	struct fixture *f = ctx;

	f->calls++;
	loop_stop(f->loop);
}

static void a_signal_becomes_a_call(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(
		loop_signal_create(f->loop, SIGUSR1, count_and_stop, f, &f->signal, NULL), LM_OK);
	assert_int_equal(raise(SIGUSR1), 0);
	loop_run(f->loop);
	assert_int_equal(f->calls, 1);
	loop_signal_destroy(f->signal);
}

static void child_ended(void *ctx, int wait_status)
{
	struct fixture *f = ctx;

	f->status = wait_status;
	f->calls++;
	loop_child_destroy(f->child);
	f->child = NULL;
	loop_stop(f->loop);
}

static pid_t child_that_exits(int status)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(status);
	return pid;
}

static void a_child_is_reaped_with_its_status(void **state)
{
	struct fixture *f = *state;
	pid_t pid = child_that_exits(7);

	assert_int_equal(loop_child_create(f->loop, pid, child_ended, f, &f->child, NULL), LM_OK);
	loop_run(f->loop);
	assert_true(WIFEXITED(f->status));
	assert_int_equal(WEXITSTATUS(f->status), 7);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

static void a_child_that_ended_before_it_was_watched_is_told(void **state)
{
	struct fixture *f = *state;
	pid_t pid = child_that_exits(3);
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(loop_child_create(f->loop, pid, child_ended, f, &f->child, NULL), LM_OK);
	loop_run(f->loop);
	assert_int_equal(WEXITSTATUS(f->status), 3);
}

static void other_children_are_left_to_their_owner(void **state)
{
	struct fixture *f = *state;
	pid_t stranger = child_that_exits(1);
	pid_t ours = child_that_exits(2);
	int status;

	assert_int_equal(loop_child_create(f->loop, ours, child_ended, f, &f->child, NULL), LM_OK);
	loop_run(f->loop);
	assert_int_equal(waitpid(stranger, &status, 0), stranger);
	assert_int_equal(WEXITSTATUS(status), 1);
}

static void a_child_nobody_watches_any_more_is_reaped_silently(void **state)
{
	struct fixture *f = *state;
	struct loop_child *forgotten;
	pid_t pid = child_that_exits(1);
	pid_t last = child_that_exits(2);
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(waitid(P_PID, (id_t)last, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(loop_child_create(f->loop, last, child_ended, f, &f->child, NULL), LM_OK);
	assert_int_equal(loop_child_create(f->loop, pid, child_ended, f, &forgotten, NULL), LM_OK);
	loop_child_destroy(forgotten);
	loop_run(f->loop);
	assert_int_equal(f->calls, 1);
	assert_int_equal(WEXITSTATUS(f->status), 2);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), -1);
}

static void *send_wakeup(void *ctx)
{
	loop_wakeup_send(ctx);
	return NULL;
}

static void a_thread_wakes_the_loop(void **state)
{
	struct fixture *f = *state;
	pthread_t thread;

	assert_int_equal(loop_wakeup_create(f->loop, count_and_stop, f, &f->wakeup, NULL), LM_OK);
	assert_int_equal(pthread_create(&thread, NULL, send_wakeup, f->wakeup), 0);
	loop_run(f->loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(f->calls >= 1);
	loop_wakeup_destroy(f->wakeup);
}

/// What it would leave behind is a finding of the sanitizer.
static void a_stop_that_came_too_late_leaves_nothing_behind(void **state)
{
	(void)state;
	struct loop *loop = NULL;

	assert_int_equal(loop_create(&loop, NULL), LM_OK);
	loop_timer_destroy(loop_timer_create(loop, too_long, NULL));
	loop_stop(loop);
	loop_destroy(loop);
}

static void destroying_nothing_is_no_fault(void **state)
{
	(void)state;
	loop_timer_destroy(NULL);
	loop_fd_destroy(NULL);
	loop_signal_destroy(NULL);
	loop_child_destroy(NULL);
	loop_wakeup_destroy(NULL);
	loop_destroy(NULL);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(a_timer_repeats_until_it_is_stopped),
		LOOP_TEST(a_watcher_may_destroy_itself_in_its_callback),
		LOOP_TEST(a_descriptor_tells_what_it_is_ready_for),
		LOOP_TEST(a_descriptor_in_error_is_told_as_what_was_asked_for),
		LOOP_TEST(a_hang_up_is_both_sides_end),
		LOOP_TEST(a_hang_up_before_all_was_read_is_told_too),
		LOOP_TEST(no_descriptor_is_an_error),
		LOOP_TEST(a_signal_becomes_a_call),
		LOOP_TEST(a_child_is_reaped_with_its_status),
		LOOP_TEST(a_child_that_ended_before_it_was_watched_is_told),
		LOOP_TEST(other_children_are_left_to_their_owner),
		LOOP_TEST(a_child_nobody_watches_any_more_is_reaped_silently),
		LOOP_TEST(a_thread_wakes_the_loop),
		cmocka_unit_test(a_stop_that_came_too_late_leaves_nothing_behind),
		cmocka_unit_test(destroying_nothing_is_no_fault),
	};

	return cmocka_run_group_tests_name("sys/loop", tests, NULL, NULL);
}
