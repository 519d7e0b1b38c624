// Package journal is an append-only log on disk, numbered by run. The publisher keeps
// in it what was said, the subscriber what was heard; both are a directory of
// segments, and a segment is text: control lines and the records between them.
//
//	19a8f3c2e4b00d17-000001.jsonl   a closed segment
//	19a8f3c2e4b00d17-000001.index   where its runs and times are, and a line for each run; made again when missing
//	19a8f3c2e4b00d17-000002.open    the segment that is being written
//	19a8f3c2e4b00d17-000003.open    empty: the next one, allocated ahead
//	lock, last, cursors             see Claim, Writer and Commits
//
// The extension is the state, and a rename is the commit. The digits are the epoch of
// the opening that wrote the file: nobody ever appends to a file that it did not
// create, so neither a lock that lies nor a copied volume can give one number two
// contents.
//
// # Delivery
//
// An entry (a batch, a gap) is in the log whole or not at all. After Append returns it
// survives the death of the process; after the next Sync it survives the death of the
// machine. What an entry moves, its run's next number, is known from the entry alone,
// and every segment begins with all cursors, so that nothing else has to be kept.
//
// After an error a file is never written again: a short or failed write is cut back to
// the last whole entry and the log goes on in a new segment; after a failed fsync what
// was written since the last good one is copied to a new segment and synced there.
//
// # Concurrency
//
// A Log has one appender at a time (Append locks), one or more syncers, and any number
// of readers. A Writer's streams may append from any number of goroutines.
//
// # Errors
//
// ErrCorrupt: bytes that are no entry, or whose checksum differs. ErrShort: an entry
// that ends beyond the bytes given. ErrVersion: an entry of a later version.
// ErrLocked: the directory has an owner. ErrNoSpace: the entries are in no file; the
// caller keeps them and tries again.
package journal
