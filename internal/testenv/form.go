package testenv

import (
	"bytes"
	"mime/multipart"
	"testing"
)

// Form is a multipart form with one file, so large that net/http keeps it on the disk where a
// handler gives it 10 bytes of memory; 10 MiB more are in memory whatever it says.
func Form(t testing.TB) (body *bytes.Buffer, contentType string) {
	t.Helper()
	body = &bytes.Buffer{}
	form := multipart.NewWriter(body)
	file, err := form.CreateFormFile("file", "name")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = file.Write(make([]byte, 11<<20)) // into memory
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return body, form.FormDataContentType()
}
