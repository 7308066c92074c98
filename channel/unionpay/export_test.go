package unionpay

// ReadForm says whether the body of a notice is taken for fields; its signature is not looked at.
func ReadForm(body string) error {
	_, err := parseForm(body)
	return err
}
