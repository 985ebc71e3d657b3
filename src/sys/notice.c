// SPDX-License-Identifier: Apache-2.0
#include "sys/notice.h"

#include "base/cleanup.h"

#include <errno.h>
#include <limits.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

lm_rc notice_of_addresses(int *ret_fd, struct lm_err *err)
{
	const struct sockaddr_nl address = {
		.nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR};
	lm_auto_close int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return lm_fail(
			err, LM_E_SYS, errno, "watch the addresses of this device (netlink): %m");
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

/// Never runs out; ends when the clock is set.
static bool arm_clock(int fd)
{
	const struct itimerspec never = {
		.it_value = {.tv_sec = sizeof(time_t) == sizeof(int) ? INT_MAX : INT64_MAX}};

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

lm_rc notice_of_clock(int *ret_fd, struct lm_err *err)
{
	lm_auto_close int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);

	if (fd < 0 || !arm_clock(fd))
		return lm_fail(err, LM_E_SYS, errno, "watch the clock of this device: %m");
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

void notice_take_addresses(int fd)
{
	char message[8192];

	// Also one that was lost as there were too many (ENOBUFS) is a notice.
	for (;;) {
		ssize_t n = recv(fd, message, sizeof(message), MSG_TRUNC);

		if (n <= 0 && errno != EINTR && errno != ENOBUFS)
			return;
	}
}

void notice_take_clock(int fd)
{
	uint64_t expired;

	// ECANCELED: it was set; the timer has to be armed anew.
	(void)!read(fd, &expired, sizeof(expired));
	(void)arm_clock(fd);
}
