/*
 * A kernel without IPVS, for a keepalived that is only to check: every question about IPVS gets
 * zeroes, every change of it succeeds and does nothing.
 *
 * keepalived's checker ends where IPVS can't be had. It tries generic netlink first, which a
 * kernel without IPVS refuses, and then the socket options below (linux/ip_vs.h).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { IP_VS_BASE_CTL = 64 + 1024 + 64, IP_VS_LAST_CTL = IP_VS_BASE_CTL + 63 };

static int is_ipvs(int level, int name)
{
	return level == IPPROTO_IP && name >= IP_VS_BASE_CTL && name <= IP_VS_LAST_CTL;
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	static int (*next)(int, int, int, void *, socklen_t *);

	if (is_ipvs(level, name)) {
		memset(value, 0, *length);
		return 0;
	}
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "getsockopt");
	return next(fd, level, name, value, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	static int (*next)(int, int, int, const void *, socklen_t);

	if (is_ipvs(level, name))
		return 0;
	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "setsockopt");
	return next(fd, level, name, value, length);
}
