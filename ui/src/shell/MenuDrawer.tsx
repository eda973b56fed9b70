// The menu of narrow screens.

import { Drawer } from "@mantine/core";
import type { ReactNode } from "react";
import mark from "../mark.svg";

export default function MenuDrawer({ opened, onClose, children }: { opened: boolean; onClose: () => void; children: ReactNode }) {
  return (
    <Drawer opened={opened} onClose={onClose} size={272} title={<span className="brand"><img src={mark} alt="" width={24} height={24} />Sealgate</span>}>
      <div className="drawer-places">{children}</div>
    </Drawer>
  );
}
