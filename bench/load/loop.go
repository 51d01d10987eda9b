package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// loop is an event loop on epoll for one goroutine: sockets that became readable, and one timer.
// Go's own poller would do, but costs a goroutine switch per event, which at 100,000 events/s is the limit.
type loop struct {
	epoll   int
	timer   int     // timerfd: epoll_wait alone has millisecond resolution
	conns   []*conn // by file descriptor
	accepts map[int32]func(fd int)
	onTimer func()
	buffer  []byte
	stopped atomic.Bool

	// harvest > 0: the loop sleeps this long and then takes whatever has come, instead of being woken by each arrival.
	// With 100,000 arrivals a second the wake-ups would cost more than the reading, here and in whoever sends.
	harvest time.Duration
	onTurn  func() // after each look, if harvest is set

	// alone: this goroutine is all that the program does, so that it may sleep without telling Go's scheduler, which on a
	// single core takes the processor away from whoever sleeps and looks for other work every 20 µs.
	alone bool
}

// slowAck asks the kernel to acknowledge together with later data or a few milliseconds later, not at every read, where it
// costs three times the read itself. The kernel forgets it after a while.
func (c *conn) slowAck() {
	_ = syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 0)
}

// promptAck undoes slowAck: acknowledgements that wait for a read would make the sender believe that its data was lost.
func (c *conn) promptAck() {
	_ = syscall.SetsockoptInt(c.fd, syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
}

// Edge-triggered: otherwise the kernel looks at every socket again after it was read, to find it empty. Whoever closes
// behind his last bytes is told by RDHUP.
const (
	edge    = 1 << 31 // EPOLLET
	reading = syscall.EPOLLIN | syscall.EPOLLRDHUP | edge
)

// conn is one non-blocking socket. onData gets bytes that are valid during the call; onClose is called once, when the
// other side closed (io.EOF) or on an error.
type conn struct {
	loop    *loop
	fd      int
	pending []byte // not yet taken by the kernel
	onData  func(data []byte)
	onClose func(err error)
	closed  bool
}

// Calls that never block go past Go's scheduler: telling it costs as much as a short read.
func readNow(fd int, data []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func writeNow(fd int, data []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(data))), uintptr(len(data)), syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func newLoop() (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	timer, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, 1 /* CLOCK_MONOTONIC */, syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, fmt.Errorf("timerfd_create: %w", errno)
	}
	l := &loop{epoll: epoll, timer: int(timer), accepts: map[int32]func(int){}}
	l.buffer = make([]byte, 256<<10)
	return l, l.watch(l.timer, syscall.EPOLLIN, syscall.EPOLL_CTL_ADD)
}

func (l *loop) watch(fd int, events uint32, op int) error {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	return syscall.EpollCtl(l.epoll, op, fd, &event)
}

// after arms the timer; one timer only, so the next call replaces it.
func (l *loop) after(d time.Duration) {
	spec := [4]int64{0, 0, 0, max(1, d.Nanoseconds())} // interval {s, ns}, value {s, ns}
	spec[2], spec[3] = spec[3]/1e9, spec[3]%1e9
	_, _, _ = syscall.Syscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(l.timer), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

func (l *loop) run() error {
	events := make([]syscall.EpollEvent, 1024)
	next := monotonic()
	for !l.stopped.Load() {
		patience := -1
		if l.harvest > 0 {
			if next += l.harvest; next < monotonic() {
				next = monotonic() // behind: no sleep, and no hurry afterwards to make up for it
			} else {
				l.sleepUntil(next)
			}
			patience = 0
		}
		n, err := l.wait(events, patience)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == int32(l.timer) {
				var ticks [8]byte
				_, _ = syscall.Read(l.timer, ticks[:])
				l.onTimer()
			} else if accept := l.accepts[event.Fd]; accept != nil {
				l.acceptAll(int(event.Fd), accept)
			} else if c := l.conns[event.Fd]; c != nil {
				c.handle(event.Events)
			}
		}
		if l.harvest > 0 && l.onTurn != nil {
			l.onTurn()
		}
	}
	return nil
}

// unwatch: the loop no longer looks at this connection, and its arrivals wake nobody; whoever asked for it reads it by look.
func (c *conn) unwatch() {
	_ = c.loop.watch(c.fd, 0, syscall.EPOLL_CTL_DEL)
}

// look takes what has come to a connection that is not watched.
func (c *conn) look() { c.handle(syscall.EPOLLIN) }

// monotonic is a time on CLOCK_MONOTONIC.
func monotonic() time.Duration {
	var ts syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 1 /* CLOCK_MONOTONIC */, uintptr(unsafe.Pointer(&ts)), 0)
	return time.Duration(ts.Nano())
}

func (l *loop) sleepUntil(at time.Duration) {
	ts := syscall.NsecToTimespec(at.Nanoseconds())
	const clock, absolute = 1, 1 // CLOCK_MONOTONIC, TIMER_ABSTIME
	if l.alone {
		_, _, _ = syscall.RawSyscall6(syscall.SYS_CLOCK_NANOSLEEP, clock, absolute, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	} else {
		_, _, _ = syscall.Syscall6(syscall.SYS_CLOCK_NANOSLEEP, clock, absolute, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
	}
}

// wait is epoll_wait. patience in ms; -1: for ever.
func (l *loop) wait(events []syscall.EpollEvent, patience int) (int, error) {
	if !l.alone && patience != 0 {
		return syscall.EpollWait(l.epoll, events, patience)
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(l.epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), uintptr(patience), 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

// listen opens a port; accepted gets each new connection, ready to be given to add.
func (l *loop) listen(address string, accepted func(fd int)) (*net.TCPAddr, error) {
	wanted, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(fd, socketAddress(wanted)); err != nil {
		return nil, fmt.Errorf("bind %s: %w", address, err)
	}
	if err := syscall.Listen(fd, 4096); err != nil {
		return nil, err
	}
	bound, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	l.accepts[int32(fd)] = accepted
	in4 := bound.(*syscall.SockaddrInet4)
	return &net.TCPAddr{IP: net.IP(in4.Addr[:]), Port: in4.Port}, l.watch(fd, syscall.EPOLLIN, syscall.EPOLL_CTL_ADD)
}

func (l *loop) acceptAll(listener int, accepted func(fd int)) {
	for {
		fd, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		accepted(fd)
	}
}

// dial begins to connect; what is sent before that is done waits in `pending`. A server whose backlog is full makes
// its clients wait, not this program.
func (l *loop) dial(address *net.TCPAddr) (*conn, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, socketAddress(address)); err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("connect %s: %w", address, err)
	}
	return l.add(fd)
}

func (l *loop) add(fd int) (*conn, error) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	c := &conn{loop: l, fd: fd}
	for len(l.conns) <= fd {
		l.conns = append(l.conns, make([]*conn, 1024)...)
	}
	l.conns[fd] = c
	return c, l.watch(fd, reading, syscall.EPOLL_CTL_ADD)
}

func socketAddress(address *net.TCPAddr) *syscall.SockaddrInet4 {
	var in4 syscall.SockaddrInet4
	in4.Port = address.Port
	copy(in4.Addr[:], address.IP.To4())
	return &in4
}

func (c *conn) handle(events uint32) {
	if events&syscall.EPOLLOUT != 0 {
		c.flush()
	}
	if events&(syscall.EPOLLIN|syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) == 0 || c.closed {
		return
	}
	for {
		n, err := readNow(c.fd, c.loop.buffer)
		switch {
		case n > 0:
			c.onData(c.loop.buffer[:n])
			if c.closed || (n < len(c.loop.buffer) && events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) == 0) {
				return
			}
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EAGAIN):
			return
		case err != nil:
			c.lost(err)
			return
		default:
			c.lost(io.EOF)
			return
		}
	}
}

// send writes at once what the kernel takes and keeps the rest; false when there already was a rest.
func (c *conn) send(data []byte) bool {
	if c.closed {
		return true
	}
	if len(c.pending) > 0 {
		c.pending = append(c.pending, data...)
		return false
	}
	n, err := writeNow(c.fd, data)
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		c.lost(err)
		return true
	}
	if n = max(n, 0); n < len(data) {
		c.pending = append(c.pending, data[n:]...)
		_ = c.loop.watch(c.fd, reading|syscall.EPOLLOUT, syscall.EPOLL_CTL_MOD)
	}
	return true
}

func (c *conn) flush() {
	n, err := writeNow(c.fd, c.pending)
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		c.lost(err)
		return
	}
	c.pending = append(c.pending[:0], c.pending[max(n, 0):]...)
	if len(c.pending) == 0 {
		_ = c.loop.watch(c.fd, reading, syscall.EPOLL_CTL_MOD)
	}
}

func (c *conn) lost(err error) {
	if c.close(); c.onClose != nil {
		onClose := c.onClose
		c.onClose = nil
		onClose(err)
	}
}

func (c *conn) close() {
	if !c.closed {
		c.closed = true
		c.loop.conns[c.fd] = nil
		_ = syscall.Close(c.fd)
	}
}
