package link

import "testing"

func TestNamesAndAddresses(t *testing.T) {
	// libcalico-go's VethNameForWorkload and aws-cni's generateHostVethName: sha1("kube-system.tmp-shell")[:11].
	if got, want := HostName("eni", "kube-system.tmp-shell"), "enie5da25cfd1a"; got != want {
		t.Errorf("HostName = %s, want %s", got, want)
	}
	h, p := OwnerMACs("a/b/eth0")
	h2, _ := OwnerMACs("a/b/eth1")
	if h == p || h == h2 || h[0] != 2 || p[0] != 2 {
		t.Errorf("MACs %s %s %s", h, p, h2)
	}
	for _, bad := range []string{"", "02:00:00:00:00", "02-00-00-00-00-01", "02:00:00:00:00:0g", "0200:00:00:00:001"} {
		if m, err := ParseMAC(bad); err == nil {
			t.Errorf("ParseMAC(%q) = %s", bad, m)
		}
	}
	if m, err := ParseMAC("0A:1b:00:00:00:fF"); err != nil || m.String() != "0a:1b:00:00:00:ff" {
		t.Errorf("ParseMAC = %s, %v", m, err)
	}
}
