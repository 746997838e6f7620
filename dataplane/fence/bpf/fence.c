// SPDX-License-Identifier: Apache-2.0
//
// The gate in the kernel: a packet of a fenced VIP passes only before the VIP's deadline.
//
// What belongs to a VIP, and so is dropped while it is closed:
//
//             in                                   out
//   ARP       anything that asks for it or is      anything that claims it (sender), gratuitous
//             sent to it (target)                  announcements too
//   IPv4      to it                                from it
//   IPv6      to it; neighbour solicitations       from it; neighbour advertisements of it
//             of it
//
// What the next holder says stays untouched: its announcements and advertisements in, and packets
// to it out. A director that does not hold a VIP is a client of it like any other.
//
// Nothing is included: the object then depends on the compiler alone, not on header versions.
// Frames are read through helpers, so neither paged data nor a tag in the frame needs a case of
// its own.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define ALWAYS_INLINE inline __attribute__((always_inline))

// The head of `struct __sk_buff` (linux/bpf.h); it only ever grows at its end.
struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
};

// Helper numbers are kernel ABI (linux/bpf.h, __BPF_FUNC_MAPPER).
static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const skb_load)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static long (*const skb_load_relative)(const void *skb, u32 offset, void *to, u32 len,
				       u32 start) = (void *)68;
static u64 (*const boot_ns)(void) = (void *)125;

enum { MAP_HASH = 1, MAP_PERCPU_ARRAY = 6 };
enum { ACT_NEXT = -1, ACT_DROP = 2 };
enum { START_NET = 1 };

#define FIELD(name, value) int(*name)[value]

struct address {
	u8 byte[16];
};

// src/layout.rs has the same numbers, and checks them against this object when it is loaded.
struct {
	FIELD(type, MAP_HASH);
	FIELD(max_entries, 32768);
	struct address *key;
	u32 *value;
} vips SEC(".maps");

struct {
	FIELD(type, MAP_HASH);
	FIELD(max_entries, 32768);
	u32 *key;
	u64 *value;
} deadlines SEC(".maps");

struct {
	FIELD(type, MAP_PERCPU_ARRAY);
	FIELD(max_entries, 8);
	u32 *key;
	u64 *value;
} drops SEC(".maps");

enum direction { IN = 0, OUT = 4 };
enum family { ARP = 0, IPV4 = 1, IPV6 = 2, ND = 3 };
// Whether frames begin with an Ethernet header, or (tunnels, PPP, InfiniBand) with what only the
// device knows; the network header is then found by the kernel's own mark.
enum link { ETHER, RAW };

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define BE16(value) ((u16)(((value) & 0xff) << 8 | (value) >> 8))
#else
#define BE16(value) ((u16)(value))
#endif

enum { MAX_TAGS = 4, MAX_EXTENSIONS = 8 };

static ALWAYS_INLINE int load(const struct __sk_buff *skb, enum link link, u32 at, void *to,
			      u32 len)
{
	if (link == ETHER)
		return skb_load(skb, at, to, len) == 0;
	return skb_load_relative(skb, at, to, len, START_NET) == 0;
}

static ALWAYS_INLINE int closed(const struct address *address)
{
	u32 *slot = map_lookup(&vips, address);
	if (!slot)
		return 0;
	u32 key = *slot;
	u64 *deadline = map_lookup(&deadlines, &key);
	// No deadline: never opened, or closed by hand.
	return !deadline || boot_ns() >= *deadline;
}

static ALWAYS_INLINE void map_v4(struct address *address)
{
	__builtin_memset(address, 0, 10);
	address->byte[10] = 0xff;
	address->byte[11] = 0xff;
}

static ALWAYS_INLINE int closed_v4_at(const struct __sk_buff *skb, enum link link, u32 at)
{
	struct address address;
	map_v4(&address);
	return load(skb, link, at, &address.byte[12], 4) && closed(&address);
}

static ALWAYS_INLINE int closed_v6_at(const struct __sk_buff *skb, enum link link, u32 at)
{
	struct address address;
	return load(skb, link, at, &address, 16) && closed(&address);
}

static ALWAYS_INLINE int verdict(int drop, enum direction direction, enum family family)
{
	if (!drop)
		return ACT_NEXT;
	u32 key = direction + family;
	u64 *count = map_lookup(&drops, &key);
	if (count)
		*count += 1;
	return ACT_DROP;
}

// RFC 826. Addresses of hardware may have any length; those of the protocol are IPv4's.
static ALWAYS_INLINE int arp(const struct __sk_buff *skb, enum link link, enum direction direction,
			     u32 at)
{
	struct {
		u16 hardware, protocol;
		u8 hardware_len, protocol_len;
		u16 operation;
	} head;
	if (!load(skb, link, at, &head, sizeof(head)))
		return ACT_NEXT;
	if (head.protocol != BE16(0x0800) || head.protocol_len != 4)
		return ACT_NEXT;
	u32 sender_at = at + 8 + head.hardware_len;
	if (direction == OUT)
		return verdict(closed_v4_at(skb, link, sender_at), direction, ARP);

	u32 target_at = sender_at + 4 + head.hardware_len;
	u32 sender, target;
	if (!load(skb, link, sender_at, &sender, 4) || !load(skb, link, target_at, &target, 4))
		return ACT_NEXT;
	// An announcement names itself twice. It is the holder's, and asks nothing.
	if (sender == target)
		return ACT_NEXT;
	return verdict(closed_v4_at(skb, link, target_at), direction, ARP);
}

static ALWAYS_INLINE int ipv4(const struct __sk_buff *skb, enum link link, enum direction direction,
			      u32 at)
{
	// Every fragment carries both addresses.
	return verdict(closed_v4_at(skb, link, at + (direction == IN ? 16 : 12)), direction, IPV4);
}

// RFC 4861, 4.3 and 4.4: the target follows eight bytes of ICMPv6.
static ALWAYS_INLINE int discovery(const struct __sk_buff *skb, enum link link,
				   enum direction direction, u32 at)
{
	u8 type;
	if (!load(skb, link, at, &type, 1) || type != (direction == IN ? 135 : 136))
		return ACT_NEXT;
	return verdict(closed_v6_at(skb, link, at + 8), direction, ND);
}

static ALWAYS_INLINE int ipv6(const struct __sk_buff *skb, enum link link, enum direction direction,
			      u32 at)
{
	if (closed_v6_at(skb, link, at + (direction == IN ? 24 : 8)))
		return verdict(1, direction, IPV6);

	u8 next;
	if (!load(skb, link, at + 6, &next, 1))
		return ACT_NEXT;
	at += 40;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		u8 head[4];
		if (next == 58)
			return discovery(skb, link, direction, at);
		if (next != 0 && next != 43 && next != 44 && next != 51 && next != 60)
			return ACT_NEXT;
		if (!load(skb, link, at, head, sizeof(head)))
			return ACT_NEXT;
		if (next == 44) {
			// Only the first fragment has what follows.
			if (head[2] || head[3] & 0xf8)
				return ACT_NEXT;
			at += 8;
		} else if (next == 51) {
			at += ((u32)head[1] + 2) * 4;
		} else {
			at += ((u32)head[1] + 1) * 8;
		}
		next = head[0];
	}
	return ACT_NEXT;
}

static ALWAYS_INLINE int gate(const struct __sk_buff *skb, enum link link, enum direction direction)
{
	u16 type = (u16)skb->protocol;
	u32 at = 0;
	if (link == ETHER) {
		if (!load(skb, link, 12, &type, 2))
			return ACT_NEXT;
		at = 14;
		// The outer tag is in the skb where the device or the kernel took it off; others, and
		// those that a raw socket wrote, are in the frame.
		for (int i = 0; i < MAX_TAGS; i++) {
			if (type != BE16(0x8100) && type != BE16(0x88a8))
				break;
			if (!load(skb, link, at + 2, &type, 2))
				return ACT_NEXT;
			at += 4;
		}
	}
	if (type == BE16(0x0800))
		return ipv4(skb, link, direction, at);
	if (type == BE16(0x86dd))
		return ipv6(skb, link, direction, at);
	if (type == BE16(0x0806))
		return arp(skb, link, direction, at);
	return ACT_NEXT;
}

SEC("classifier") int fence_in_ether(struct __sk_buff *skb) { return gate(skb, ETHER, IN); }
SEC("classifier") int fence_out_ether(struct __sk_buff *skb) { return gate(skb, ETHER, OUT); }
SEC("classifier") int fence_in_raw(struct __sk_buff *skb) { return gate(skb, RAW, IN); }
SEC("classifier") int fence_out_raw(struct __sk_buff *skb) { return gate(skb, RAW, OUT); }

// None of the helpers above asks for a GPL program.
char terms[] SEC("license") = "Apache-2.0";
