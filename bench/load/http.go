package main

import (
	"bytes"
	"errors"
	"strconv"
)

var errHTTP = errors.New("not an HTTP/1.1 response")

// header gives the value of a header in a raw head; nil if it is missing. Names are compared without case.
func header(head []byte, name string) []byte {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		if len(line) > len(name) && line[len(name)] == ':' && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return bytes.TrimSpace(line[len(name)+1:])
		}
	}
	return nil
}

// response reads one HTTP/1.1 response after another, as they arrive, however they are cut into reads.
type response struct {
	status int
	close  bool // the server will close after this response

	head    []byte // incomplete head, or incomplete chunk-size line
	inBody  bool
	chunked bool
	toClose bool // no length: the body ends with the connection
	left    int  // bytes of the body or chunk that are still to come
	state   chunkState
}

type chunkState int

const (
	chunkSize chunkState = iota
	chunkData
	chunkEnd // the CRLF after a chunk
	trailer
)

// feed takes bytes, gives body bytes to onBody and tells when the response is complete.
func (r *response) feed(data []byte, onBody func([]byte)) (done bool, err error) {
	if !r.inBody {
		rest, complete, err := r.feedHead(data)
		if err != nil || !complete {
			return false, err
		}
		data = rest
		if !r.chunked && !r.toClose && r.left == 0 {
			return r.finish(), nil
		}
	}
	if r.chunked {
		return r.feedChunks(data, onBody)
	}
	if !r.toClose && len(data) > r.left {
		return false, errHTTP
	}
	if len(data) > 0 {
		onBody(data)
	}
	if r.toClose {
		return false, nil
	}
	if r.left -= len(data); r.left == 0 {
		return r.finish(), nil
	}
	return false, nil
}

func (r *response) finish() bool {
	*r = response{status: r.status, close: r.close}
	return true
}

func (r *response) feedHead(data []byte) (rest []byte, complete bool, err error) {
	if len(r.head) > 0 {
		data = append(r.head, data...)
	}
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		r.head = append([]byte(nil), data...)
		return nil, false, nil
	}
	head := data[:end]
	r.head = nil
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.")) {
		return nil, false, errHTTP
	}
	if r.status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return nil, false, errHTTP
	}
	r.inBody = true
	r.close = bytes.EqualFold(header(head, "connection"), []byte("close"))
	if length := header(head, "content-length"); length != nil {
		if r.left, err = strconv.Atoi(string(length)); err != nil {
			return nil, false, errHTTP
		}
	} else if bytes.EqualFold(header(head, "transfer-encoding"), []byte("chunked")) {
		r.chunked = true
	} else {
		r.toClose = true
	}
	return data[end+4:], true, nil
}

func (r *response) feedChunks(data []byte, onBody func([]byte)) (done bool, err error) {
	for len(data) > 0 {
		switch r.state {
		case chunkData:
			n := min(r.left, len(data))
			onBody(data[:n])
			data = data[n:]
			if r.left -= n; r.left == 0 {
				r.state = chunkEnd
			}
		default:
			end := bytes.IndexByte(data, '\n')
			if end < 0 {
				r.head = append(r.head, data...)
				return false, nil
			}
			line := data[:end]
			if len(r.head) > 0 {
				line = append(r.head, line...)
				r.head = nil
			}
			line = bytes.TrimSuffix(line, []byte("\r"))
			data = data[end+1:]
			if done, err := r.line(line); done || err != nil {
				return done, err
			}
		}
	}
	return false, nil
}

// line takes one line between chunks: a size, the empty line after a chunk, or a trailer.
func (r *response) line(line []byte) (done bool, err error) {
	switch r.state {
	case chunkEnd:
		if len(line) != 0 {
			return false, errHTTP
		}
		r.state = chunkSize
	case trailer:
		if len(line) == 0 {
			return r.finish(), nil
		}
	default:
		if semicolon := bytes.IndexByte(line, ';'); semicolon >= 0 {
			line = line[:semicolon]
		}
		size, ok := hexadecimal(bytes.TrimSpace(line))
		if !ok {
			return false, errHTTP
		}
		r.left, r.state = size, chunkData
		if size == 0 {
			r.state = trailer
		}
	}
	return false, nil
}

func hexadecimal(text []byte) (value int, ok bool) {
	for _, c := range text {
		switch {
		case '0' <= c && c <= '9':
			value = value<<4 | int(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			value = value<<4 | int(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return value, 0 < len(text) && len(text) < 8
}
