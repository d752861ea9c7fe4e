package riotest_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/seed-9c58b644/rio"
	"github.com/seed-9c58b644/rio/riotest"
)

// A wal is a small write-ahead log: frames of a length, a checksum and a record.
type wal struct {
	r    *rio.Ring
	f    *rio.File
	end  int64
	fail error // once something has failed, nobody knows what is on the disk
}

// openWAL returns the log and the records that are in it.
func openWAL(sim *riotest.Sim) (*wal, []string, error) {
	f, err := sim.OpenFile("wal", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, nil, err
	}
	w := &wal{r: sim.Ring(), f: f}
	var records []string
	for {
		var head [8]byte
		if n, err := f.ReadAt(head[:], w.end); n < len(head) {
			if err == io.EOF {
				return w, records, nil
			}
			return nil, nil, errors.Join(err, f.Close())
		}
		size := binary.LittleEndian.Uint32(head[:])
		if size == 0 || size > 1<<20 {
			return w, records, nil
		}
		record := make([]byte, size)
		if n, err := f.ReadAt(record, w.end+8); n < len(record) && err != io.EOF {
			return nil, nil, errors.Join(err, f.Close())
		}
		if crc32.ChecksumIEEE(record) != binary.LittleEndian.Uint32(head[4:]) {
			return w, records, nil
		}
		records = append(records, string(record))
		w.end += 8 + int64(size)
	}
}

// append returns when the record is durable: a chain of a write and a sync. If the write was short the sync was cancelled,
// and both go on from there.
func (w *wal) append(record string) error {
	if w.fail != nil {
		return w.fail
	}
	frame := binary.LittleEndian.AppendUint32(nil, uint32(len(record)))
	frame = binary.LittleEndian.AppendUint32(frame, crc32.ChecksumIEEE([]byte(record)))
	frame = append(frame, record...)
	for at := 0; ; {
		c := w.r.Chain()
		write, sync := c.WriteAt(w.f, frame[at:], w.end+int64(at)), c.Fdatasync(w.f)
		if w.fail = c.Submit(); w.fail != nil {
			return w.fail
		}
		n, err := write.Wait()
		_, syncErr := sync.Wait()
		switch at += n; {
		case err != nil:
			w.fail = fmt.Errorf("append: %w", err)
			return w.fail
		case at < len(frame):
		case syncErr != nil:
			w.fail = fmt.Errorf("append: %w", syncErr)
			return w.fail
		default:
			w.end += int64(len(frame))
			return nil
		}
	}
}
