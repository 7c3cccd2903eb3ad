package wire

import (
	"net/url"
	"testing"
)

// Whatever a query is, it becomes a request or an EC2 error.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"Action=DescribeVpcs&Version=2016-11-15",
		"Action=CreateNetworkInterface&Version=2016-11-15&SubnetId=subnet-1&PrivateIpAddresses.1.PrivateIpAddress=10.0.0.5&PrivateIpAddresses.1.Primary=true",
		"Action=CreateNetworkInterface&Version=2016-11-15&SubnetId=s&TagSpecification.1.ResourceType=network-interface&TagSpecification.1.Tag.2.Key=k",
		"Action=AssignPrivateIpAddresses&Version=2016-11-15&NetworkInterfaceId=eni-1&Ipv4Prefix.1=10.0.0.16/28&Ipv4Prefix.07=::/0",
		"Action=ModifyNetworkInterfaceAttribute&Version=2016-11-15&NetworkInterfaceId=eni-1&Attachment.AttachmentId=a&Attachment.DeleteOnTermination=TRUE",
		"Action=DescribeNetworkInterfaces&Version=2016-11-15&Filter.1.Name=tag:a&Filter.1.Value.1=*&MaxResults=-1",
		"Action=DeleteTags&Version=2016-11-15&ResourceId.1=eni-1&Tag.1.Key=a&Tag.1.Value=",
		"Action.1=x&..=&.=&Version.=", "A.1.2.3.4.5.6.7.8.9=", "Action=CreateTags&Version=2016-11-15&Tag=1&Tag.1.Key.x=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		form, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		root, refusal := parse(form)
		if refusal == nil {
			var request any
			request, refusal = decode(root)
			if (request == nil) == (refusal == nil) {
				t.Errorf("%q became %v and %v", query, request, refusal)
			}
		}
		if refusal != nil && (refusal.Code == "" || refusal.HTTPStatus < 400) {
			t.Errorf("%q was refused with %+v", query, refusal)
		}
	})
}
