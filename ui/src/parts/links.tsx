// Links that look like buttons, with addresses that are checked.

import { Button, type ButtonProps } from "@mantine/core";
import { createLink } from "@tanstack/react-router";
import type { AnchorHTMLAttributes, Ref } from "react";

type Props = ButtonProps & Omit<AnchorHTMLAttributes<HTMLAnchorElement>, keyof ButtonProps> & { ref?: Ref<HTMLAnchorElement> };

const AnchorButton = ({ ref, ...props }: Props) => <Button component="a" {...props} ref={ref} />;

export const ButtonLink = createLink(AnchorButton);
