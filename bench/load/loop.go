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
	timer   int // timerfd: epoll_wait alone has millisecond resolution
	conns   map[int32]*conn
	accepts map[int32]func(fd int)
	onTimer func()
	buffer  []byte
	stopped atomic.Bool
}

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

func newLoop() (*loop, error) {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	timer, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, 1 /* CLOCK_MONOTONIC */, syscall.O_NONBLOCK, 0)
	if errno != 0 {
		return nil, fmt.Errorf("timerfd_create: %w", errno)
	}
	l := &loop{epoll: epoll, timer: int(timer), conns: map[int32]*conn{}, accepts: map[int32]func(int){}}
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
	for !l.stopped.Load() {
		n, err := syscall.EpollWait(l.epoll, events, -1)
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
	}
	return nil
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

// dial connects; to the loopback that is done at once, so it blocks.
func (l *loop) dial(address *net.TCPAddr) (*conn, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := syscall.Connect(fd, socketAddress(address)); err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("connect %s: %w", address, err)
	}
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return l.add(fd)
}

func (l *loop) add(fd int) (*conn, error) {
	_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	c := &conn{loop: l, fd: fd}
	l.conns[int32(fd)] = c
	return c, l.watch(fd, syscall.EPOLLIN, syscall.EPOLL_CTL_ADD)
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
	if events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) == 0 || c.closed {
		return
	}
	n, err := syscall.Read(c.fd, c.loop.buffer)
	switch {
	case n > 0:
		c.onData(c.loop.buffer[:n])
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
	case err != nil:
		c.lost(err)
	default:
		c.lost(io.EOF)
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
	n, err := syscall.Write(c.fd, data)
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		c.lost(err)
		return true
	}
	if n = max(n, 0); n < len(data) {
		c.pending = append(c.pending, data[n:]...)
		_ = c.loop.watch(c.fd, syscall.EPOLLIN|syscall.EPOLLOUT, syscall.EPOLL_CTL_MOD)
	}
	return true
}

func (c *conn) flush() {
	n, err := syscall.Write(c.fd, c.pending)
	if err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR) {
		c.lost(err)
		return
	}
	c.pending = append(c.pending[:0], c.pending[max(n, 0):]...)
	if len(c.pending) == 0 {
		_ = c.loop.watch(c.fd, syscall.EPOLLIN, syscall.EPOLL_CTL_MOD)
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
		delete(c.loop.conns, int32(c.fd))
		_ = syscall.Close(c.fd)
	}
}
