// Package static answers with the files of a folder.
//
// A path is a file below the folder; one that ends with a slash is the index.html there,
// and a folder without its slash is redirected to the one with it. Nothing is ever
// listed. A path with a segment that begins with a dot is not there, but for .well-known
// at the top (RFC 8615). The folder can't be left: os.Root refuses symbolic links that
// lead out of it. What is no regular file is not there either. The folder is opened for
// each request, so that another one may be put into its place.
//
// A file x may have x.br, x.zst and x.gz beside it, the same compressed before; one that
// is not older than x is sent to who accepts it, smallest form first. Vary says so always.
//
// # Validators
//
// The ETag is strong. It is made of the file's size, times of change and of its entry
// (mtime and ctime), and the coding: it changes whenever the file was written, renamed or
// installed, and differs between two machines. Last-Modified is left out where the time
// can't be true, before 1980: images that are built reproducibly set it so.
//
// # Concurrency
//
// A Folder may be used from many goroutines.
//
// # Errors
//
// ErrNotFound: there is no such file, or none that may be read. Any other error is the operating system's. After
// an error nothing was written.
package static
